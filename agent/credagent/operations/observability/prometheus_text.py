"""Write the text that Prometheus reads, from the counters of one agent and a snapshot of it.

The text format is written here (ADR-01-metrics-text.md). No secret, no principal and no name of a variable belongs in
a label; codes and slots do.
"""

from collections.abc import Iterator, Mapping

from credagent.credentials import Held, origin_of
from credagent.metric_counters import COUNTERS, EventCounters, Family
from credagent.operations.observability.status_document import Snapshot, State, state

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


BUILD = Family("build_info", "gauge", ("version",), "The agent's version.")
STATE = Family("state", "gauge", ("state",), "1 for the state the agent is in.")
GENERATION = Family("generation", "gauge", (), "The generation number of the credential set in force.")
ORIGIN = Family("slot_origin", "gauge", ("slot", "origin"), "1 for where a slot's credentials came from.")
EXPIRY = Family(
    "credentials_expiry_timestamp_seconds", "gauge", ("slot",), "When a slot's credentials expire (absent: never)."
)
REMAINING = Family("credentials_remaining_seconds", "gauge", ("slot",), "How long a slot's credentials are valid.")
FAILURES = Family("renewal_failures", "gauge", ("slot",), "Attempts that failed since the last one that did not.")
WORKERS = Family("workers", "gauge", ("role", "current"), "Processes supplied, and whether they have this generation.")
UPTIME = Family("uptime_seconds", "gauge", (), "Seconds since the agent started.")


def render(snapshot: Snapshot, counters: EventCounters) -> str:
    """Return all metrics in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []
    for family in COUNTERS:
        lines += _family(family, counters.of(family))
    for family, series in _gauges(snapshot):
        lines += _family(family, series)
    return "".join(lines)


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
    failures = {slot: shown.failure for slot, shown in snapshot.slots.items()}
    yield FAILURES, {(slot.value,): failure.failures if failure else 0 for slot, failure in failures.items()}
    yield WORKERS, _workers(snapshot)


def _workers(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    series: dict[tuple[str, ...], float] = {}
    for worker in snapshot.workers:
        labels = (worker.role, "true" if worker.generation == snapshot.generation else "false")
        series[labels] = series.get(labels, 0) + 1
    return series


def _family(family: Family, series: Mapping[tuple[str, ...], float]) -> list[str]:
    name = f"credagent_{family.name}"
    head = [f"# HELP {name} {family.meaning}\n", f"# TYPE {name} {family.kind}\n"]
    return head + [f"{name}{_labels(family, labels)} {_number(value)}\n" for labels, value in sorted(series.items())]


def _labels(family: Family, values: tuple[str, ...]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(family.labels, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
