"""Count what happened in one agent. The text that Prometheus reads is made in `operations`.

No secret, no principal and no name of a variable belongs in a label; codes and slots do.
"""

from bisect import bisect_left
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

MOST_SERIES = 256  # of one family; codes are closed sets, so more would be a defect that must not fill the memory
OTHER = "other"


class Family(Struct, frozen=True, cache_hash=True):
    """A metric: its name without the prefix, its kind, its labels, and what it tells."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


ORIGIN_CHANGES = Family(
    "origin_changes_total", "counter", ("slot", "origin"), "Changes of where a slot's credentials came from."
)
REFUSED_BUNDLES = Family("bundles_refused_total", "counter", ("code",), "Bundles refused, by class of failure.")
RENEWALS = Family("renewals_total", "counter", ("slot", "outcome"), "Attempts to renew a slot, by outcome.")
REQUESTS = Family("requests_total", "counter", ("face", "outcome"), "Requests for credentials answered, by outcome.")
HANDOVERS = Family(
    "handovers_total",
    "counter",
    ("handover", "outcome"),
    "Sets handed over: worker.env written or not, sets sent to processes and put in place by them.",
)
COUNTERS = (ORIGIN_CHANGES, REFUSED_BUNDLES, RENEWALS, REQUESTS, HANDOVERS)

DURATION = Family(
    "request_duration_seconds", "histogram", ("face",), "How long the agent took to answer a request for credentials."
)
BUCKETS_S = (0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1)  # answers come from memory


class Durations(Struct):
    """How many answers took how long: by the least of BUCKETS_S that they did not exceed, the last for all others."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0


class EventCounters:
    """The counters of one agent: they only rise, and are the one thing here that changes."""

    def __init__(self) -> None:
        """Start at nothing; a series appears with its first event."""
        self._series: dict[Family, dict[tuple[str, ...], int]] = {family: {} for family in COUNTERS}
        self._durations: dict[str, Durations] = {}

    def count(self, family: Family, *labels: str) -> None:
        """Count one event of `family`; `labels` in the family's order."""
        series = self._series[family]
        present = series.get(labels)
        if present is None and len(series) >= MOST_SERIES:
            labels = (OTHER,) * len(family.labels)
            present = series.get(labels)
        series[labels] = (present or 0) + 1

    def took(self, face: str, seconds: float) -> None:
        """Count how long one answer of `face` took."""
        durations = self._durations.get(face)
        if durations is None:
            durations = self._durations[face] = Durations()
        durations.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        durations.sum_s += seconds

    def durations(self) -> Mapping[str, Durations]:
        """Return how long answers took, by face."""
        return MappingProxyType(self._durations)

    def of(self, family: Family) -> Mapping[tuple[str, ...], int]:
        """Return the series of `family`."""
        return MappingProxyType(self._series[family])
