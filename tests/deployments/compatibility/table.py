"""The page COMPATIBILITY.md: a column for each environment, a row for each thing that was tried."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[3] / "agent" / "credagent" / "dask_cluster" / "COMPATIBILITY.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def write(columns: Mapping[str, Mapping[str, str]], overhead: tuple[float, float] | None) -> None:
    """Replace the measured part of the page. What failed is told by name, below."""
    rows = list(dict.fromkeys(row for outcomes in columns.values() for row in outcomes))
    lines = [f"Measured on {datetime.now(UTC):%d %B %Y} by `make compatibility`, on one machine of two cores.", ""]
    lines += [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    failed = []
    for row in rows:
        cells = []
        for name, outcomes in columns.items():
            outcome = outcomes.get(row, "")
            cells.append("" if not outcome else "yes" if outcome == "yes" else "**no**")
            if outcome not in ("", "yes"):
                failed.append(f"- {row}, {name}: {outcome}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", *failed, *([""] if failed else [])]
    if overhead is not None:
        with_it, without = overhead
        lines.append(
            f"A thousand small tasks on two workers took {with_it:.3f} s with forwarding and {without:.3f} s without "
            f"({(with_it / without - 1) * 100:+.1f} %; medians of 9, in turn)."
        )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{chr(10).join(lines).rstrip()}\n{END}{after}", encoding="utf-8")
