"""10,000 agents that booted within one minute: what their renewals cost the cloud, by the renewal plan alone.

Two things make the load uneven. *Bunching*: all began together, and a jitter of a tenth spreads the first renewals
over six minutes of each half hour only; every later wave is wider and flatter. And *chance*: agents that know nothing
of each other fall into seconds as rain does, so that the fullest of many seconds holds about mean + 4 roots of the
mean, whatever the plan. The figure is therefore that of the first wave, the fullest there is: the calls in its fullest
second beside the mean of the seconds it lasts. Over a whole day the mean is that of the idle stretches too (5.6 calls a
second, of which chance alone makes 16 in the fullest); the absolute peak, which is what a quota is about, is shown too.
"""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from credagent.slots import renewal_schedule
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, progress

AGENTS = 10_000
BOOT_S = 60.0
DAY_S = 24 * 3600.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LIVES = {  # of an hour
    "AWS": (timedelta(hours=1), renewal_schedule.AWS_LEAD),
    "Google": (timedelta(hours=1), renewal_schedule.GOOGLE_LEAD),
}
BOUND = 2.0


class Wave(Struct, frozen=True, kw_only=True):
    """The load of one wave of renewals: calls in its fullest second, and the mean of the seconds it lasts."""

    peak: int
    mean: float
    lasts_s: float

    @property
    def ratio(self) -> float:
        """Return how uneven it is."""
        return self.peak / self.mean


class Herd:
    """Agents that renew by the plan, with a jitter drawn once per attempt, while the cloud always answers."""

    def __init__(self, life: timedelta, lead: timedelta, *, agents: int = AGENTS, seed: int = 1) -> None:
        """Boot all of them within a minute, when each obtains its first credentials."""
        self._life, self._lead, self._chance = life, lead, random.Random(seed)
        self.due = [self._next(self._chance.uniform(0, BOOT_S)) for _ in range(agents)]

    def wave(self) -> list[float]:
        """Return when each agent calls in the present wave, in seconds since the boot, and go on to the next."""
        calls = self.due
        self.due = [self._next(at) for at in calls]
        return calls

    def calls_until(self, end_s: float) -> list[float]:
        """Return all calls before `end_s`."""
        calls: list[float] = []
        while min(self.due) < end_s:
            calls += [at for at in self.wave() if at < end_s]
        return calls

    def _next(self, obtained_s: float) -> float:
        obtained = EPOCH + timedelta(seconds=obtained_s)
        due = renewal_schedule.renew_at(obtained, obtained + self._life, self._lead, self._chance.uniform(-1, 1))
        return (due - EPOCH).total_seconds()


def load(calls: list[float]) -> Wave:
    """Return the load of these calls."""
    seconds = Counter(int(at) for at in calls)
    lasts_s = max(calls) - min(calls)
    return Wave(peak=max(seconds.values()), mean=len(calls) / lasts_s, lasts_s=lasts_s)


def figures(_installed: node.Installed) -> Iterator[Figure]:
    """Return the unevenness of the first wave, for each kind of credentials."""
    progress("renewals")
    for name, (life, lead) in LIVES.items():
        wave = load(Herd(life, lead).wave())
        fullest = f"10,000 renewals, {name}, fullest second"
        yield Figure(name=fullest, unit="x", values=(wave.ratio,), aim=Aim(BOUND))
