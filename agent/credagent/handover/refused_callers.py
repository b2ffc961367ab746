"""Who was refused, how often and when last: counted for `doctor`, and said in the log now and then.

Anybody on the machine can ask. So the number of users that are remembered is bounded, and each of them is logged only
now and then.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from credagent import log
from credagent.log_throttle import LogThrottle

MOST_USERS = 32  # of whom the one that was refused longest ago is forgotten


class RefusedCaller(Struct, frozen=True, kw_only=True):
    """A user who may not ask, and did."""

    uid: int
    count: int
    at: datetime


class RefusedCallers:
    """The users whom one agent has refused since it started, on its socket and over TCP."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Nobody was refused yet."""
        self._now = now
        self._by_uid: dict[int, RefusedCaller] = {}
        self._said = LogThrottle()

    def refuse(self, uid: int, **fields: object) -> None:
        """Count a refusal of `uid`; each user is logged now and then, with `fields`."""
        before = self._by_uid.pop(uid, None)
        self._by_uid[uid] = RefusedCaller(uid=uid, count=(before.count if before else 0) + 1, at=self._now())
        if len(self._by_uid) > MOST_USERS:
            self._by_uid.pop(next(iter(self._by_uid)))
        if self._said.is_news(uid):
            log.warning("caller_refused", uid=uid, **fields)

    def known(self) -> tuple[RefusedCaller, ...]:
        """Return all of them, the latest last."""
        return tuple(self._by_uid.values())
