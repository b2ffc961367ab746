"""Count what happened in one agent. The text that Prometheus reads is made in `operations`.

No secret, no principal and no name of a variable belongs in a label; codes and slots do.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

MOST_SERIES = 256  # of one family; codes are closed sets, so more would be a defect that must not fill the memory
OTHER = "other"


class Family(Struct, frozen=True):
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
COUNTERS = (ORIGIN_CHANGES, REFUSED_BUNDLES, RENEWALS, REQUESTS)


class EventCounters:
    """The counters of one agent: they only rise, and are the one thing here that changes."""

    def __init__(self) -> None:
        """Start at nothing; a series appears with its first event."""
        self._series: dict[Family, dict[tuple[str, ...], int]] = {family: {} for family in COUNTERS}

    def count(self, family: Family, *labels: str) -> None:
        """Count one event of `family`; `labels` in the family's order."""
        series = self._series[family]
        if labels not in series and len(series) >= MOST_SERIES:
            labels = (OTHER,) * len(family.labels)
        series[labels] = series.get(labels, 0) + 1

    def of(self, family: Family) -> Mapping[tuple[str, ...], int]:
        """Return the series of `family`."""
        return MappingProxyType(self._series[family])
