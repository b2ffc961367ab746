"""`credagent public-key`: the public line of this machine's key, or of a private key file."""

import argparse

from credagent.cli.agent_client import ask
from credagent.cli.common_options import add_agents_config
from credagent.errors import ConfigurationError

SUMMARY = "print the public key of this machine, or of a private key file"
EPILOG = """\
The line is what senders seal to (`credagent seal --recipient`), or what machines trust (`credagent trust`).
Without KEYFILE the agent that runs here is asked.

Examples:
  credagent public-key > node.pub
  credagent public-key ~/.config/credagent/sender.key
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `public-key` takes."""
    parser.add_argument("keyfile", metavar="KEYFILE", nargs="?", help="a private key that `credagent keygen` made")
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

    try:
        return machine_key.read_key(path).public_key.line
    except ConfigurationError as error:
        if error.code != "wrong-key":
            raise
    try:
        return signing_key.load(path).public_key.line
    except ConfigurationError as error:
        hint = "name a recipient.key or sender.key that `credagent keygen` made"
        raise ConfigurationError(error.code, "is not a private key of credagent", what=path, hint=hint) from error
