"""`--attest`: whose attested machines are believed, in place of those of the account or project that is forwarded."""

import argparse

from credagent.errors import UsageError

NAMES = "aws_accounts, aws_roles, google_projects, google_accounts"


def add_attest(parser: argparse.ArgumentParser) -> None:
    """Add `--attest`."""
    parser.add_argument(
        "--attest",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"whose attested machines are believed ({NAMES}; may be repeated)",
    )


def attest_said(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Return what `--attest` said, by name. Raises UsageError."""
    said: dict[str, list[str]] = {}
    for text in arguments.attest:
        name, equals, value = text.partition("=")
        if not equals or not value:
            why = f"{text[:80]!r} is not NAME=VALUE"
            raise UsageError("usage", why, what="--attest", hint=f"name one of {NAMES}")
        said.setdefault(name, []).append(value)
    return said
