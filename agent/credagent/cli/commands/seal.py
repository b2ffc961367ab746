"""`credagent seal`: make a sealed bundle."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from credagent.bundle.fingerprint import fingerprint
from credagent.cli.seal_options import add_sealing_arguments, identity_options

if TYPE_CHECKING:
    from credagent.sender.grant_options import GrantOptions

SUMMARY = "make a sealed bundle of your identity for machines that you name"
EPILOG = """\
What is in it is said on standard error. A slot (aws, google, environment) for which nothing is sent is declined:
there the machine's own identity applies.

Examples:
  credagent seal --recipient node.pub --sender-key ~/.config/credagent/sender.key --audience lab --out bundle
  credagent seal … --env DB_TOKEN --aws none | credagent inspect -
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `seal` takes."""
    add_sealing_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Seal, write the bundle, and tell a person what is in it (on stderr: stdout may be the bundle)."""
    options = identity_options(
        arguments, os.environ, audience=arguments.audience, allow_missing=arguments.allow_missing
    )
    return seal_to(arguments, options)


def seal_to(arguments: argparse.Namespace, options: "GrantOptions") -> int:
    """Do what `seal` and `withdraw` have in common."""
    from credagent.bundle.sealing import seal
    from credagent.clock import SystemClock
    from credagent.sender import bundle_draft, recipients, signing_key

    # Before anything is asked of a cloud: a typing mistake should not cost a login.
    wrappers = recipients.read_all(tuple(arguments.recipient))
    key = signing_key.load(arguments.sender_key)
    draft = bundle_draft.draft_bundle(options, key, os.environ, SystemClock())
    text = seal(draft.bundle, wrappers, key)
    if arguments.attested:
        from credagent.sender.attested_bundle import attested

        text = attested(text, options, os.environ)
    _write(arguments.out, text)
    _tell(bundle_draft.describe(draft), "")
    names = ", ".join(recipients.name(wrapper) for wrapper in wrappers)
    _tell([f"for {names}; audience {options.audience}; signed by sender {fingerprint(key.key_id)}"], "")
    _tell(draft.notices, "warning: ")
    return 0


def _tell(lines: Iterable[str], prefix: str) -> None:
    for line in lines:
        print(f"credagent: {prefix}{line}", file=sys.stderr)


def _write(path: str, text: str) -> None:
    from credagent.cli.named_files import write_output

    if path == "-":
        print(text)
    else:
        write_output(path, f"{text}\n".encode())
