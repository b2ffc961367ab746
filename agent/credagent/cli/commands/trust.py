"""`credagent trust`: add a sender to the trust file of this machine or user."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from credagent.bundle.fingerprint import fingerprint
from credagent.cli.common_options import add_config, config, reload_command
from credagent.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from credagent.bundle.key_pairs import SenderPublicKey

SUMMARY = "let a sender's bundles in on this machine, or for this user"
EPILOG = """\
PUB is a sender's public line, as `credagent keygen --role sender` and the first `credagent forward`
print it, or the file that holds it (sender.pub). As root it is added to /etc/credagent/trusted-senders,
else to ~/.config/credagent/trusted-senders, or to the file that bundle.trusted_senders names.
An agent that runs reads it at `systemctl reload credagent` (SIGHUP).

Example:
  credagent trust credagent-sender:ed25519:7Qm… --comment ana
"""
COMMENT_CHARACTERS = 200
FILE_BYTES = 4_096
LINE_PREFIX = "credagent-sender:"  # of whatever kind: the parser says which kinds there are


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `trust` takes."""
    parser.add_argument("sender", metavar="PUB", help="the sender's public line, or the file that holds it")
    parser.add_argument("--comment", metavar="NAME", default="", help="whose key it is, for people")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Add the key, and say where."""
    from credagent.admission import trust_file

    comment = " ".join(arguments.comment.split())
    if len(comment) > COMMENT_CHARACTERS or not comment.isprintable():
        hint = f"a name of at most {COMMENT_CHARACTERS} printable characters"
        raise UsageError("usage", "not a name", what="--comment", hint=hint)
    key = _read(arguments.sender)
    path = trust_file.path_of(config(arguments), os.environ, os.geteuid())
    added = trust_file.add(path, key, comment)
    print(f"trusted{'' if added else ' already'}: sender {fingerprint(key.key_id)}, in {path}")
    if added:
        print(f"credagent: an agent that runs reads it when it is reloaded: {reload_command()}", file=sys.stderr)
    return 0


def _read(text: str) -> "SenderPublicKey":
    """Return the key that PUB names. A private key by mistake is not repeated in the error."""
    from credagent.bundle.key_pairs import SenderPublicKey
    from credagent.system.file_reading import read_trusted

    if text.startswith(LINE_PREFIX):
        return SenderPublicKey.parse(text.split(" ", 1)[0])
    # Whoever can write this file chooses whom the machine trusts: its mode is checked as that of a trust file.
    lines = [line.strip() for line in read_trusted(text, FILE_BYTES).decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) != 1:
        hint = "name the sender.pub that `credagent keygen --role sender` made, or the line in it"
        raise ConfigurationError("wrong-key", "does not hold one public key", what=text, hint=hint)
    try:
        return SenderPublicKey.parse(lines[0].split(" ", 1)[0])
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=text, hint=error.hint) from error
