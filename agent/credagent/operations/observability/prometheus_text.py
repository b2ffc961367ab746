"""Write the text that Prometheus reads, from the counters of one agent and a snapshot of it.

Two texts of the same: Prometheus' own, and OpenMetrics' for who asks for it. Written here (ADR-01-metrics-text.md). No
secret, no principal and no name of a variable belongs in a label; codes and slots do.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from credagent.credentials import Empty, Held, origin_of
from credagent.metric_counters import BUCKETS_S, COUNTERS, DURATION, Durations, EventCounters, Family
from credagent.operations.observability.status_document import Snapshot, State, state

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

BUILD = Family("build_info", "gauge", ("version",), "The agent's version.")
STATE = Family("state", "gauge", ("state",), "1 for the state the agent is in.")
GENERATION = Family("generation", "gauge", (), "The generation number of the credential set in force.")
ORIGIN = Family("slot_origin", "gauge", ("slot", "origin"), "1 for where a slot's credentials came from.")
EXPIRY = Family(
    "credentials_expiry_timestamp_seconds", "gauge", ("slot",), "When a slot's credentials expire (absent: never)."
)
REMAINING = Family("credentials_remaining_seconds", "gauge", ("slot",), "How long a slot's credentials are valid.")
EMPTY_IN = Family(
    "slot_empty_in_seconds",
    "gauge",
    ("slot",),
    "Seconds until a slot is empty if nothing is renewed (0: it is; absent: it never is, or falls back).",
)
LIFE_PASSED = Family(
    "session_life_passed_ratio",
    "gauge",
    ("slot",),
    "Share of the life of a session that only its sender renews of whose passing people were warned: 0.5, 0.75, 0.9.",
)
LOST = Family("slot_lost", "gauge", ("slot",), "1 where a slot does not hold what was meant for it.")
FAILURES = Family(
    "renewal_failures",
    "gauge",
    ("slot",),
    "Attempts that failed since the last one that did not; 0 where this cloud has nothing for the machine.",
)
WORKERS = Family("workers", "gauge", ("role", "current"), "Processes supplied, and whether they have this generation.")
UPTIME = Family("uptime_seconds", "gauge", (), "Seconds since the agent started.")


def render(snapshot: Snapshot, counters: EventCounters, *, openmetrics: bool = False) -> str:
    """Return all metrics in Prometheus' text format, version 0.0.4, or in OpenMetrics', version 1.0.0."""
    lines: list[str] = []
    for family in COUNTERS:
        lines += _family(family, counters.of(family), openmetrics=openmetrics)
    lines += _histogram(DURATION, counters.durations())
    for family, series in _gauges(snapshot):
        lines += _family(family, series, openmetrics=openmetrics)
    return "".join([*lines, "# EOF\n"] if openmetrics else lines)


def _gauges(snapshot: Snapshot) -> Iterator[tuple[Family, Mapping[tuple[str, ...], float]]]:
    present = state(snapshot)
    held = {slot: shown.content for slot, shown in snapshot.slots.items() if isinstance(shown.content, Held)}
    ends = {slot: content.expires_at for slot, content in held.items() if content.expires_at is not None}
    yield BUILD, {(snapshot.agent.version,): 1}
    yield UPTIME, {(): snapshot.agent.uptime_s}
    yield STATE, {(one.value,): int(one is present) for one in State}
    yield GENERATION, {(): snapshot.generation}
    yield ORIGIN, {(slot.value, origin_of(shown.content)): 1 for slot, shown in snapshot.slots.items()}
    yield EXPIRY, {(slot.value,): end.timestamp() for slot, end in ends.items()}
    yield REMAINING, {(slot.value,): (end - snapshot.now).total_seconds() for slot, end in ends.items()}
    yield EMPTY_IN, _empty_in(snapshot)
    yield LIFE_PASSED, {(slot.value,): shown.life_passed for slot, shown in snapshot.slots.items() if slot in held}
    yield LOST, {(slot.value,): int(shown.loud) for slot, shown in snapshot.slots.items()}
    failures = {slot: shown.failure for slot, shown in snapshot.slots.items()}
    yield (
        FAILURES,
        {(slot.value,): failure.failures if failure and not failure.quiet else 0 for slot, failure in failures.items()},
    )
    yield WORKERS, _workers(snapshot)


def _empty_in(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Return when each slot is empty if nothing happens: by what it holds, and by what it then falls back to."""
    series: dict[tuple[str, ...], float] = {}
    for slot, shown in snapshot.slots.items():
        match shown.content:
            case Held(expires_at=end) if end is not None and shown.falls_back_to != "machine":
                series[(slot.value,)] = max((end - snapshot.now).total_seconds(), 0.0)
            case Empty() if shown.required or shown.loud:
                series[(slot.value,)] = 0.0
    return series


def _workers(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    series: dict[tuple[str, ...], float] = {}
    for worker in snapshot.workers:
        labels = (worker.role, "true" if worker.generation == snapshot.generation else "false")
        series[labels] = series.get(labels, 0) + 1
    return series


def _head(family: Family, *, openmetrics: bool = False) -> list[str]:
    name = f"credagent_{family.name}"
    if openmetrics and family.kind == "counter":
        name = name.removesuffix("_total")
    return [f"# HELP {name} {family.meaning}\n", f"# TYPE {name} {family.kind}\n"]


def _histogram(family: Family, durations: Mapping[str, Durations]) -> list[str]:
    name, lines = f"credagent_{family.name}", _head(family)
    for face, taken in sorted(durations.items()):
        below = accumulate(taken.buckets)
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), below, strict=True):
            lines.append(f'{name}_bucket{{face="{_escaped(face)}",le="{bound}"}} {count}\n')
        lines.append(f'{name}_sum{{face="{_escaped(face)}"}} {taken.sum_s:.6f}\n')
        lines.append(f'{name}_count{{face="{_escaped(face)}"}} {sum(taken.buckets)}\n')
    return lines


def _family(family: Family, series: Mapping[tuple[str, ...], float], *, openmetrics: bool) -> list[str]:
    name = f"credagent_{family.name}"
    return _head(family, openmetrics=openmetrics) + [
        f"{name}{_labels(family, labels)} {_number(value)}\n" for labels, value in sorted(series.items())
    ]


def _labels(family: Family, values: tuple[str, ...]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(family.labels, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
