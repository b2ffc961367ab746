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
NAME_COLUMNS = 41


class Aim(Struct, frozen=True):
    """What a figure may be at most: its median, or the ratio of its median to its reference's."""

    most: float
    of: Literal["value", "ratio"] = "value"

    def __str__(self) -> str:
        """Say it."""
        return f"≤{self.most:g}" + ("x" if self.of == "ratio" else "")


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


def show(topics: Mapping[str, Sequence[Figure]], unmeasured: Sequence[Unmeasured], absent: Sequence[str] = ()) -> None:
    """Print the table, which fits 100 columns: a block for each topic, and for each reference in it.

    `absent` are programs that would stand beside the figures.
    """
    head = ("median", "quartiles", "reference", "ratio", "aim")
    blocks = [block for name, figures in topics.items() for block in _blocks(name, figures)]
    rows = [head, *(_cells(figure) for _, figures in blocks for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for title, figures in blocks:
        print(_line(title, head, widths))
        for figure in figures:
            print(_line(f"  {figure.name}", _cells(figure), widths))
    judged = [figure.reached for figures in topics.values() for figure in figures if figure.reached is not None]
    if judged:
        print(f"{sum(judged)} of {len(judged)} aims reached")
    if absent:
        print(f"not on PATH, so that nothing stands beside them: {', '.join(absent)}")
    for one in unmeasured:
        print(f"not measured: {one.name}: {one.why}")


def write(
    path: Path,
    topics: Mapping[str, Sequence[Figure]],
    *,
    unmeasured: Sequence[Unmeasured],
    absent: Sequence[str],
    began: datetime,
    load: Values,
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
        "rows": [{"topic": name, **figure.document()} for name, figures in topics.items() for figure in figures],
        "not_measured": [{"name": one.name, "why": one.why} for one in unmeasured],
        "not_on_path": list(absent),
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


def _blocks(topic: str, figures: Iterable[Figure]) -> list[tuple[str, list[Figure]]]:
    """Return the figures of a topic under a title for each reference, those of one reference together."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(f"{topic}, beside {figure.beside}" if figure.beside else topic, []).append(figure)
    return list(found.items())


def _cells(figure: Figure) -> tuple[str, ...]:
    lower, upper = quartiles(figure.values)
    verdict = {True: "reached", False: "MISSED", None: ""}[figure.reached]
    return (
        f"{_number(statistics.median(figure.values))} {figure.unit}",
        f"{_number(lower)}-{_number(upper)}" if len(figure.values) > 1 else "once",
        f"{_number(statistics.median(figure.reference))} {figure.unit}" if figure.reference else "",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        f"{figure.aim} {verdict}" if figure.aim else "",
    )


def _line(first: str, cells: Iterable[str], widths: Sequence[int]) -> str:
    """Return one line; only the aim, which is last and a sentence, stands at the left of its column."""
    *numbers, aim = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.ljust(NAME_COLUMNS), *numbers, aim.lstrip()]).rstrip()


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"
