"""How often one user may ask for what costs more than an answer from memory. Pure but for its own counting.

A task may ask in a loop: each renewal starts a process and asks a cloud, each refused bundle is a line in the log.
"""

from collections.abc import Callable

from msgspec import Struct

from credagent.errors import Unavailable
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import Caller
from credagent.handover.unix.protocol import Deliver, Renew, Request

MOST_USERS = 64  # remembered; who comes back full has nothing to be remembered


class RateLimit(Struct, frozen=True, kw_only=True):
    """A burst, and then one each `every_s` seconds."""

    what: str
    burst: int
    every_s: float


RENEWALS = RateLimit(what="renewals", burst=6, every_s=10.0)  # each of as many as three slots
REFUSED_DELIVERIES = RateLimit(what="bundles that are refused", burst=20, every_s=1.0)


class TokenBucket:
    """What each user has left of one limit."""

    def __init__(self, limit: RateLimit, monotonic: Callable[[], float]) -> None:
        """Everybody begins with the whole burst."""
        self._limit, self._monotonic = limit, monotonic
        self._left: dict[int, tuple[float, float]] = {}

    def require(self, uid: int) -> None:
        """Raise Unavailable (`busy`) where `uid` has nothing left."""
        if self._of(uid) >= 1:
            return
        allowed = self._limit
        why = f"user {uid} asks for too many {allowed.what}"
        raise Unavailable("busy", why, what="the agent", hint=f"at most one each {allowed.every_s:g} s in the long run")

    def spend(self, uid: int) -> None:
        """Take one from what `uid` has left."""
        left = self._of(uid)
        if len(self._left) >= MOST_USERS:
            self._left = {one: kept for one, kept in self._left.items() if self._of(one) < self._limit.burst}
        self._left[uid] = (max(left - 1, 0.0), self._monotonic())

    def _of(self, uid: int) -> float:
        left, at = self._left.get(uid, (float(self._limit.burst), self._monotonic()))
        return min(float(self._limit.burst), left + (self._monotonic() - at) / self._limit.every_s)


class RateLimits:
    """What ordinary users have left on one socket. Root and the agent's own user may ask as they like."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Everybody may begin."""
        self._renewals, self._refusals = TokenBucket(RENEWALS, monotonic), TokenBucket(REFUSED_DELIVERIES, monotonic)

    def begin(self, request: Request, caller: Caller, rules: AccessRules) -> None:
        """Raise Unavailable (`busy`) where `caller` has asked too often for what `request` asks."""
        if rules.is_privileged(caller):
            return
        if isinstance(request, Renew):
            self._renewals.require(caller.uid)
            self._renewals.spend(caller.uid)
        elif isinstance(request, Deliver):
            self._refusals.require(caller.uid)

    def refused(self, request: Request, caller: Caller) -> None:
        """Count a refusal: a bundle that is admitted, or is there already, costs its sender nothing."""
        if isinstance(request, Deliver):
            self._refusals.spend(caller.uid)
