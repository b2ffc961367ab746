"""CLIENTS.md says what the matrix expects, line by line."""

from pathlib import Path

import credagent.worker_environment
from tests.matrix.columns import COLUMNS
from tests.matrix.expected import EXPECTED, HELD_BY_INTERCEPTION_ALONE, HELD_BY_VARIABLE
from tests.matrix.reading import AWS_ROWS, GOOGLE_ROWS

INTERCEPTED = ", intercepted"  # only where it makes a difference
PAGE = Path(credagent.worker_environment.__file__).with_name("CLIENTS.md")


def renewals() -> list[str]:
    """Return the lines of the table of renewals: a client's handovers one below the other."""
    lines = [f"| client | handover | {' | '.join(COLUMNS)} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for row in (*AWS_ROWS, *GOOGLE_ROWS):
        measured = {handover: cells[row] for handover, cells in EXPECTED.items() if row in cells}
        for handover, cells in measured.items():
            if cells != measured.get(handover.removesuffix(INTERCEPTED)) or not handover.endswith(INTERCEPTED):
                name = "metadata" if row in GOOGLE_ROWS else handover
                lines.append(f"| {row} | {name} | {' | '.join(cells)} |")
    return lines


def closed() -> list[str]:
    """Return the lines of the table of what keeps a client from the machine's role."""
    by = {
        row: " and ".join(f"`{name}`" for name in HELD_BY_VARIABLE[row]) for row in AWS_ROWS if row in HELD_BY_VARIABLE
    }
    by |= dict.fromkeys(HELD_BY_INTERCEPTION_ALONE, "no variable; interception")
    return ["| client | kept from instance metadata by |", "|---|---|", *(f"| {row} | {by[row]} |" for row in AWS_ROWS)]


def test_the_tables_are_those_that_are_asserted() -> None:
    written = PAGE.read_text().splitlines()
    assert [line for line in (*renewals(), *closed()) if line not in written] == []
