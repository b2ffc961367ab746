"""`credagent explain`: what an error code, a log event or an exit status means, and what to do."""

import argparse

from credagent.cli.terminal_text import printable
from credagent.errors import UsageError

SUMMARY = "explain an error code, a log event or an exit status"
EPILOG = """\
Without NAME all of them are listed.

Examples:
  credagent explain untrusted-sender
  credagent explain session_not_renewed
  credagent explain 69
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `explain` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a code, an event, or the number of an exit status")


def run(arguments: argparse.Namespace) -> int:
    """Print what it is, why, and what to do."""
    from credagent.operations.reference import lookup

    if arguments.name is None:
        return _listed()
    found = lookup.explanations(arguments.name)
    if not found:
        meant = " or ".join(lookup.near(arguments.name))
        hint = f"did you mean {meant}?" if meant else "`credagent explain` lists all"
        raise UsageError("usage", f"nothing is called {printable(arguments.name)}", what="explain", hint=hint)
    for kind, said in found:
        print(f"{arguments.name} ({kind}): {said.cause}")
        print(f"  → {said.remedy}")
    return 0


def _listed() -> int:
    from credagent.operations.reference import lookup
    from credagent.operations.reference.exit_statuses import EXIT_STATUSES
    from credagent.operations.reference.finding_codes import FINDINGS
    from credagent.operations.reference.log_events import EVENTS

    statuses = {str(status.value): said for status, said in EXIT_STATUSES.items()}
    tables = (("exit statuses", statuses), ("error codes", lookup.errors()), ("findings of doctor", FINDINGS))
    for title, rows in (*tables, ("log events", EVENTS)):
        print(f"{title}:")
        for name, said in rows.items():
            print(f"  {name:<31} {said.cause}")
    return 0
