"""REFERENCE.md: every event, code and exit status as tables. `python -m credagent.operations.reference.markdown`."""

import sys
from collections.abc import Iterable, Mapping

from credagent.operations.reference.error_codes import Explanation
from credagent.operations.reference.exit_statuses import EXIT_STATUSES
from credagent.operations.reference.finding_codes import FINDINGS
from credagent.operations.reference.log_events import EVENTS
from credagent.operations.reference.lookup import errors

_HEAD = """\
# Events, error codes, exit statuses

Written by `python -m credagent.operations.reference.markdown` from the tables in this folder; a test compares it.
`credagent explain NAME` prints one row.
A name is stable: programs may compare it. Texts may change.
"""


def page() -> str:
    """Return the page."""
    statuses = {f"{status.value}": said for status, said in EXIT_STATUSES.items()}
    parts = [_HEAD, _table("Exit statuses", "status", statuses), _table("Error codes", "code", errors())]
    parts.append(_table("Findings of `doctor` beside these", "code", FINDINGS))
    return "\n".join([*parts, _table("Log events", "event", dict(sorted(EVENTS.items())))])


def _table(title: str, column: str, rows: Mapping[str, Explanation]) -> str:
    return "".join([f"## {title}\n\n", *_lines(column, rows)])


def _lines(column: str, rows: Mapping[str, Explanation]) -> Iterable[str]:
    yield f"| {column} | what it means | what to do |\n|---|---|---|\n"
    for name, said in rows.items():
        yield f"| `{name}` | {_cell(said.cause)} | {_cell(said.remedy)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
