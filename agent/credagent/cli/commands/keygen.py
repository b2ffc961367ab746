"""`credagent keygen`: make a key, and overwrite none."""

import argparse
import os
from typing import TYPE_CHECKING

from credagent.errors import OutputError, UsageError

if TYPE_CHECKING:
    from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey

KEY_LIMIT_BYTES = 4096
SUMMARY = "make the key of a sender, which signs, or of a recipient, which opens"
EPILOG = """\
The .pub file is what others get: a sender's belongs into bundle.trusted_senders of the machines, a
recipient's after --recipient of `credagent seal`. The .key file stays where it is.

Example:
  credagent keygen --role sender --out ~/.config/credagent
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `keygen` takes."""
    parser.add_argument("--role", required=True, choices=("recipient", "sender"), help="whose key it is")
    parser.add_argument(
        "--kem",
        choices=("x-wing", "x25519"),
        help="a recipient's kind: x-wing (default) stays closed to quantum computers",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder, made private where it is missing")


def run(arguments: argparse.Namespace) -> int:
    """Make the key, print its public line, and where it is."""
    from credagent.system.file_writing import create_new_private
    from credagent.system.private_folder import make_private_folder

    if arguments.kem and arguments.role == "sender":
        raise UsageError("usage", "only a recipient's key has a kind", what="--kem", hint="leave it out")
    path = os.path.join(os.path.expanduser(arguments.out), arguments.role)
    make_private_folder(os.path.dirname(path))
    if _was_interrupted(path):
        key = _present_key(arguments.role, f"{path}.key")
    else:
        for taken in (f"{path}.key", f"{path}.pub"):
            if os.path.lexists(taken):
                hint = "a key is never overwritten: move it away first, or name another folder"
                raise OutputError("exists", "exists already", what=taken, hint=hint)
        key = _new_key(arguments.role, arguments.kem or "x-wing")
        create_new_private(f"{path}.key", f"{key.to_text().reveal()}\n".encode())
    create_new_private(f"{path}.pub", f"{key.public_key.line}\n".encode(), 0o644)
    print(key.public_key.line)
    print(f"{path}.key")
    return 0


def _was_interrupted(path: str) -> bool:
    """Tell whether a run before this one was killed between its two files: nobody has seen that key's public half."""
    return os.path.lexists(f"{path}.key") and not os.path.lexists(f"{path}.pub")


def _present_key(role: str, path: str) -> "RecipientPrivateKey | SenderPrivateKey":
    from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
    from credagent.secret import Secret
    from credagent.system.file_reading import read_private

    text = Secret(read_private(path, KEY_LIMIT_BYTES).decode("ascii", "replace").strip())
    return SenderPrivateKey.parse(text) if role == "sender" else RecipientPrivateKey.parse(text)


def _new_key(role: str, kem: str) -> "RecipientPrivateKey | SenderPrivateKey":
    from credagent.bundle.hpke_suites import Kem
    from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey

    return SenderPrivateKey.generate() if role == "sender" else RecipientPrivateKey.generate(Kem(kem))
