"""What is measured, as values: a figure beside its reference, the aim, and the table and the file of all of them."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

Values = tuple[float, ...]


class Aim(Struct, frozen=True):
    """What a figure may be at most: its median, or the ratio of its median to its reference's."""

    most: float
    of: Literal["value", "ratio"] = "value"

    def __str__(self) -> str:
        """Say it."""
        return f"at most {self.most:g}" + (" x" if self.of == "ratio" else "")


class Figure(Struct, frozen=True, kw_only=True):
    """One row: the values of all rounds, beside those of what was measured in turn with it."""

    name: str
    unit: str
    values: Values
    beside: str = ""
    reference: Values = ()
    aim: Aim | None = None

    @property
    def ratio(self) -> float | None:
        """The median beside the reference's."""
        return statistics.median(self.values) / statistics.median(self.reference) if self.reference else None

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        if self.aim is None:
            return None
        value = statistics.median(self.values) if self.aim.of == "value" else self.ratio
        return value is not None and value <= self.aim.most

    def document(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "name": self.name,
            "unit": self.unit,
            **_summary(self.values),
            "reference": {"name": self.beside, **_summary(self.reference)} if self.reference else None,
            "ratio": self.ratio,
            "aim": {"most": self.aim.most, "of": self.aim.of} if self.aim else None,
            "reached": self.reached,
        }


class Unmeasured(Struct, frozen=True):
    """What was not measured, and why."""

    name: str
    why: str


def in_turn(rounds: int, measured: Mapping[str, Callable[[], float]], *, warm_up: int = 1) -> dict[str, Values]:
    """Measure A B C, A B C, …: a machine whose speed drifts does not decide a ratio. The first rounds do not count."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + warm_up):
        for name, measure in measured.items():
            value = measure()
            if number >= warm_up:
                taken[name].append(value)
    return {name: tuple(values) for name, values in taken.items()}


def show(figures: Sequence[Figure], unmeasured: Sequence[Unmeasured]) -> None:
    """Print the table."""
    head = ("", "median", "quartiles", "n", "beside", "", "ratio", "aim", "")
    rows = [head, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        cells = (
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in _sized(row, widths)
        )
        print("  ".join(cells).rstrip())
    for one in unmeasured:
        print(f"not measured: {one.name}: {one.why}")


def write(
    path: Path, figures: Sequence[Figure], unmeasured: Sequence[Unmeasured], began: datetime, load: Values
) -> None:
    """Write the file."""
    machine = {
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "load_before": load,
        "load_after": os.getloadavg(),
    }
    document = {
        "version": 1,
        "began": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds(), 1),
        "machine": machine,
        "rows": [figure.document() for figure in figures],
        "not_measured": [{"name": one.name, "why": one.why} for one in unmeasured],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def progress(text: str) -> None:
    """Say on standard error what is being measured."""
    print(f"… {text}", file=sys.stderr, flush=True)


def quartiles(values: Values) -> tuple[float, float]:
    """Return the lower and the upper quartile; of one value, itself twice."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def _summary(values: Values) -> dict[str, Any]:
    lower, upper = quartiles(values)
    return {"median": statistics.median(values), "quartiles": [lower, upper], "n": len(values)}


def _row(figure: Figure) -> tuple[str, ...]:
    lower, upper = quartiles(figure.values)
    reference = statistics.median(figure.reference) if figure.reference else None
    return (
        figure.name,
        f"{_number(statistics.median(figure.values))} {figure.unit}",
        f"{_number(lower)} to {_number(upper)}",
        str(len(figure.values)),
        figure.beside,
        "" if reference is None else f"{_number(reference)} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        str(figure.aim or ""),
        {True: "reached", False: "NOT REACHED", None: ""}[figure.reached],
    )


def _sized(row: Iterable[str], widths: Iterable[int]) -> "enumerate[tuple[str, int]]":
    return enumerate(zip(row, widths, strict=True))


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"
