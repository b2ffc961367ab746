"""`credagent public-key`: the public line of this machine's key, or of a key file."""

import argparse

from credagent.cli.common_options import add_agents_config
from credagent.errors import ConfigurationError, CredagentError
from credagent.handover.unix.agent_client import ask

PUBLIC_FILE_BYTES = 4_096
SUMMARY = "print the public key of this machine, or of a key file"
EPILOG = """\
The line is what senders seal to (`credagent seal --recipient`), or what machines trust (`credagent trust`).
Without KEYFILE the agent that runs here is asked.

Examples:
  credagent public-key > node.pub
  credagent public-key ~/.config/credagent/sender.key
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `public-key` takes."""
    parser.add_argument("keyfile", metavar="KEYFILE", nargs="?", help="a key file that `credagent keygen` made")
    add_agents_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the line."""
    if arguments.keyfile:
        print(_line_of(arguments.keyfile))
        return 0
    line = ask({"op": "status"}, config_path=arguments.config)["public_key"]
    if not line:
        hint = "it opens bundles with the keys of bundle.recipient_keys; name one of their files"
        raise ConfigurationError("no-key", "this machine has no key of its own", what="the agent", hint=hint)
    print(line)
    return 0


def _line_of(path: str) -> str:
    from credagent.admission import machine_key
    from credagent.sender import signing_key

    if (line := _public_line_in(path)) is not None:
        return line
    try:
        return machine_key.read_key(path).public_key.line
    except ConfigurationError as error:
        if error.code != "wrong-key":
            raise
    try:
        return signing_key.load(path).public_key.line
    except ConfigurationError as error:
        hint = "name a recipient.key or sender.key that `credagent keygen` made"
        raise ConfigurationError(error.code, "is not a key of credagent", what=path, hint=hint) from error


def _public_line_in(path: str) -> str | None:
    """Return the line of a `.pub` file, None where the file is another. Raises ConfigurationError for a broken line."""
    from credagent.bundle.key_pairs import RECIPIENT_LINE_PREFIX, RecipientPublicKey, SenderPublicKey
    from credagent.system.file_reading import read_bounded

    try:
        text = (read_bounded(path, PUBLIC_FILE_BYTES) or b"").decode("utf-8", "replace")
    except CredagentError:
        return None
    line = text.strip().split(" ", 1)[0]  # a comment may follow the key
    try:
        if line.startswith(RECIPIENT_LINE_PREFIX):
            return RecipientPublicKey.parse(line).line
        return SenderPublicKey.parse(line).line if line.startswith("credagent-sender:") else None
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error
