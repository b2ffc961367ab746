"""The sender's identity over time: looks at the local identity before it is due, and keeps what it has.

A look that fails changes nothing while what is held is valid; when that has ended too, the slot is *unavailable*, which
takes nothing away from the cluster. Reading the identity blocks, so it happens in a thread.
"""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from credagent.bundle.contents import AwsSessionGrant, GoogleAccessTokenGrant, GoogleAuthorizedUserGrant
from credagent.clock import Clock
from credagent.credentials import Slot
from credagent.errors import Unavailable
from credagent.sender import local_identity
from credagent.sender.compose_bundle import LocalIdentity, expiry
from credagent.sender.grant_options import GrantOptions
from credagent.slots.renewal_schedule import AWS_LEAD, renew_at, retry_wait_s

LONGEST_RETRY_S = 60.0  # a person who logs in again is watching; asking the local chain costs nobody anything
SHORTEST_LOOK_S = 5.0  # a session that its owner cannot renew is looked at ever more often as it ends
LONGEST_LOOK_S = 86_400.0

Held = AwsSessionGrant | GoogleAccessTokenGrant | GoogleAuthorizedUserGrant


class Renewal(Struct, frozen=True, kw_only=True):
    """What a look has brought. `identity` is what the cluster is to have from now on; None: what it has already."""

    identity: LocalIdentity | None = None
    notices: tuple[str, ...] = ()


class IdentityRenewal:
    """The identity as it was last seen, slot by slot."""

    def __init__(self, options: GrantOptions, environ: Mapping[str, str], clock: Clock) -> None:
        """Hold nothing yet; `first` looks."""
        self._options, self._environ, self._clock = options, environ, clock
        self.found: dict[Slot, local_identity.FoundIdentity] = {}
        self._failures: dict[Slot, int] = {}
        self._due: dict[Slot, datetime] = {}
        self._lost: frozenset[Slot] = frozenset()

    async def first(self) -> Renewal:
        """Look for the first time; missing credentials are declined, broken ones raise Unavailable."""
        seen = await asyncio.to_thread(local_identity.look, self._options, self._environ)
        for found in seen.found:
            if found.grant is not None:
                self._keep(found)
        return Renewal(identity=self._identity(), notices=seen.notices)

    async def renew(self) -> Renewal:
        """Look at what is due. What was granted and cannot be had is kept while it is valid, and then *unavailable*."""
        notices: list[str] = []
        renewed = False
        for slot in [slot for slot, due in self._due.items() if due <= self._clock.now()]:
            before = self.found[slot].grant
            notices += await self._look_again(slot)
            renewed = renewed or self.found[slot].grant != before
        identity = self._identity()
        changed = renewed or identity.lost != self._lost
        self._lost = identity.lost
        return Renewal(identity=identity if changed else None, notices=tuple(notices))

    def _identity(self) -> LocalIdentity:
        """Return what can be granted now."""
        now = self._clock.now()
        held = {slot: found.grant for slot, found in self.found.items() if not _ended(found.grant, now)}
        aws, google = held.get(Slot.AWS), held.get(Slot.GOOGLE)
        return LocalIdentity(
            aws=aws if isinstance(aws, AwsSessionGrant) else None,
            google=None if isinstance(google, AwsSessionGrant) else google,
            lost=frozenset(self.found) - frozenset(held),
        )

    def due_in_s(self, now: datetime) -> float:
        """Return how long until the next look, by the wall clock."""
        moments = [(due - now).total_seconds() for due in self._due.values()]
        return max(0.0, min(moments, default=LONGEST_LOOK_S))

    def hurry(self) -> None:
        """Look again soon for what failed: the network is back."""
        now = self._clock.now()
        for slot in self._failures:
            self._due[slot] = now

    async def _look_again(self, slot: Slot) -> list[str]:
        options = replace(self._options, allow_missing=False)
        ask = local_identity.look_for_aws if slot is Slot.AWS else local_identity.look_for_google
        try:
            found, _ = await asyncio.to_thread(ask, options, self._environ)
        except Unavailable as error:
            return self._failed(slot, error)
        was_away = self._failures.pop(slot, 0) > 0
        self._keep(found)
        return [f"{slot.value}: your local credentials are back; forwarding goes on"] if was_away else []

    def _keep(self, found: local_identity.FoundIdentity) -> None:
        self.found[found.slot] = found
        now = self._clock.now()
        ends = _ends(found.grant)
        if ends is not None:
            due = renew_at(now, ends, AWS_LEAD, random.uniform(-1, 1))  # noqa: S311  spreads load, hides nothing
            wait_s = max(SHORTEST_LOOK_S if ends > now else LONGEST_RETRY_S, (due - now).total_seconds())
            self._due[found.slot] = _after(now, wait_s)
        else:
            self._due[found.slot] = _after(now, LONGEST_LOOK_S)

    def _failed(self, slot: Slot, error: Unavailable) -> list[str]:
        self._failures[slot] = failures = self._failures.get(slot, 0) + 1
        jitter = random.uniform(-1, 1)  # noqa: S311  spreads load, hides nothing
        wait_s = min(retry_wait_s(failures, jitter), LONGEST_RETRY_S)
        self._due[slot] = _after(self._clock.now(), wait_s)
        if failures > 1:
            return []  # said once, not at every attempt
        grant = self.found[slot].grant
        ends = _ends(grant)
        until = f" until {ends:%Y-%m-%d %H:%M:%S} UTC" if ends is not None else ""
        return [f"{slot.value}: {error} — the cluster keeps what it has{until}. {error.hint}".strip()]


def _ends(grant: Held | None) -> datetime | None:
    return expiry(grant) if grant is not None else None


def _ended(grant: Held | None, now: datetime) -> bool:
    ends = _ends(grant)
    return grant is None or (ends is not None and ends <= now)


def _after(now: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(now.timestamp() + seconds, tz=now.tzinfo)
