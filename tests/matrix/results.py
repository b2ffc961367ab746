"""What was measured: a table's cells, and for people who want to know why, the reasons."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.demo.stage import ROOT

REPORTS = ROOT / "build" / "matrix"
SLIDES = "THE MACHINE'S"
FORWARDED = ("assume-role-", "impersonation-")


def own_identities(calls: Iterable[dict[str, Any]]) -> set[str]:
    """Return the identities behind signed calls that nobody forwarded: what must never be seen."""
    seen = {str(call["credential"]) for call in calls if call["credential"] is not None}
    return {identity for identity in seen if not identity.startswith(FORWARDED)}


class Results:
    """The cells of one table, by row and column."""

    def __init__(self, rows: Iterable[str], columns: Sequence[str]) -> None:
        """Nothing was measured yet."""
        self.columns = columns
        self.cells: dict[str, dict[str, str]] = {row: {} for row in rows}
        self.reasons: dict[tuple[str, str], str] = {}

    def fill(self, row: str, column: str, cell: str, reason: str | None = "") -> None:
        """Write one cell, but never over a slide."""
        if self.cells[row].get(column) != SLIDES:
            self.cells[row][column] = cell
            self.reasons[row, column] = reason or ""

    def slid(self) -> dict[str, str]:
        """Return the columns in which a row used the machine's own identity."""
        found = {row: [column for column, cell in cells.items() if cell == SLIDES] for row, cells in self.cells.items()}
        return {row: ", ".join(columns) for row, columns in found.items() if columns}

    def table(self) -> str:
        """Return a table in Markdown."""
        head = ["| client | " + " | ".join(self.columns) + " |", "|---|" + "---|" * len(self.columns)]
        rows = (
            f"| {row} | " + " | ".join(cells.get(column, "") for column in self.columns) + " |"
            for row, cells in self.cells.items()
        )
        return "\n".join([*head, *rows])

    def keep(self, name: str) -> None:
        """Write the table and what is behind its cells where `make clean` finds them."""
        REPORTS.mkdir(parents=True, exist_ok=True)
        reasons = [f"- {row}, {column}: {why}" for (row, column), why in self.reasons.items() if why]
        (REPORTS / f"{name}.md").write_text("\n".join([self.table(), "", *reasons, ""]))
