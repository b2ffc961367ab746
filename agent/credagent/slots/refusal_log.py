"""Which bundles were refused: the last ones, for people, and the present content of pull channels, for slots."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from credagent import log
from credagent.bundle.refusal_codes import RefusalCode
from credagent.clock import Clock
from credagent.errors import CredagentError
from credagent.metric_counters import REFUSED_BUNDLES, EventCounters

REMEMBERED_REFUSALS = 20
NOT_REFUSED_CONTENT = frozenset({RefusalCode.REPLAYED.value, RefusalCode.SUPERSEDED.value})
"""Refusals that leave the slots alone: old content is what it was, and says nothing against anybody."""


class Refusal(Struct, frozen=True, kw_only=True):
    """A bundle that was refused, where and why."""

    code: str
    at: datetime
    channel: str
    message: str = ""
    hint: str = ""


class RefusalLog:
    """Remembers, counts and logs refusals.

    `recent` holds the last ones. `present` holds, by channel, the refusals of what pull channels hold now.
    """

    def __init__(self, counters: EventCounters, clock: Clock) -> None:
        """Begin with nothing refused."""
        self.recent: deque[Refusal] = deque(maxlen=REMEMBERED_REFUSALS)
        self.present: dict[str, Refusal] = {}
        self._counters, self._clock = counters, clock
        self._said: dict[str, str] = {}  # of each pull channel, so that looking again says nothing twice

    def refuse_push(self, error: CredagentError, channel: str) -> None:
        """Remember what was refused to whoever delivered it. It has no say in what slots hold."""
        self._record(self._refusal(error, channel), error)

    def refuse_content(self, error: CredagentError, channel: str) -> None:
        """Remember that the present content of a pull channel is refused; the same is said once."""
        refusal = self._refusal(error, channel)
        if self._said.get(channel) != refusal.message:
            self._record(refusal, error)
        self._said[channel] = refusal.message
        if error.code in NOT_REFUSED_CONTENT:
            self.present.pop(channel, None)
        else:
            self.present[channel] = refusal

    def lift(self, channel: str) -> None:
        """Forget the refusal of what a channel held: it holds something else now, or nothing."""
        self._said.pop(channel, None)
        self.present.pop(channel, None)

    def rename(self, names: Mapping[str, str]) -> None:
        """Go over to other channels: `names` gives the present name of each former one that is still followed.

        A refusal stands until its channel is looked at again: a reload opens no closed slot.
        """
        self.present = {names[name]: refusal for name, refusal in self.present.items() if name in names}

    def _refusal(self, error: CredagentError, channel: str) -> Refusal:
        return Refusal(code=error.code, at=self._clock.now(), channel=channel, message=str(error), hint=error.hint)

    def _record(self, refusal: Refusal, error: CredagentError) -> None:
        self._counters.count(REFUSED_BUNDLES, refusal.code)
        log.warning("bundle_refused", channel=refusal.channel, code=refusal.code, why=error.why, hint=error.hint)
        self.recent.append(refusal)
