"""What this machine's cloud says of the machine's key: asked for when a sender wants to know, kept while it is young.

It is made only when a sender asks: where senders name the machine's key, no helper is started for this. It is bound to
the key and the audience of the moment; after a rotation or a change of the audience another one is made.
"""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from credagent import log
from credagent.attestation.statement import KeyStatement
from credagent.clock import Clock
from credagent.cloud_helper.helper_call import call
from credagent.cloud_helper.job_requests import AttestMachine
from credagent.cloud_helper.job_responses import AttestationMade
from credagent.errors import Unavailable

YOUNG_S = 300.0
"""Handed out as it is; a sender believes it for 15 minutes."""
USABLE_S = 600.0
"""Handed out while the next one is made."""
FAILED_S, REFUSED_S = 20.0, 300.0
"""So long a failure is told without another attempt, and one that stands until somebody changes something: each sender
asks each machine twice a minute."""
PATIENCE_S = 6.0
"""So long who asks waits for one that is being made; it asks again."""

Make = Callable[[AttestMachine], Awaitable[AttestationMade]]


class _Kept(Struct, frozen=True, kw_only=True):
    """An attestation, or why there is none, and when that was, by the monotonic clock."""

    at: float
    text: str = ""
    failure: Unavailable | None = None

    @property
    def lasts_s(self) -> float:
        """Return for how long it is told before there is another attempt."""
        if self.failure is None:
            return YOUNG_S
        return FAILED_S if self.failure.retry else REFUSED_S


class MachineAttestation:
    """The newest attestation for each request that a sender may make."""

    def __init__(self, clock: Clock, make: Make = call) -> None:
        """Make nothing yet; `make` has a helper do it."""
        self._clock, self._make = clock, make
        self._kept: dict[AttestMachine, _Kept] = {}
        self._making: dict[AttestMachine, asyncio.Task[None]] = {}

    async def text(self, statement: KeyStatement, *, by_role: bool) -> str:
        """Return an attestation of `statement`. Raises Unavailable: why there is none, or `attestation-pending`."""
        request = AttestMachine(binding=statement.binding, by_role=by_role)
        kept = self._kept.get(request)
        age_s = self._clock.monotonic() - kept.at if kept is not None else float("inf")
        if kept is None or age_s > kept.lasts_s:
            making = self._begin(request)
            if kept is None or not kept.text or age_s > USABLE_S:
                await asyncio.wait([making], timeout=PATIENCE_S)
                kept = self._kept.get(request) if making.done() else None
        if kept is None:
            hint = "ask again in a moment"
            raise Unavailable("attestation-pending", "it is being made", what="attestation", hint=hint)
        if kept.failure is not None:
            raise kept.failure
        return kept.text

    def _begin(self, request: AttestMachine) -> "asyncio.Task[None]":
        if request not in self._making:
            self._making[request] = asyncio.get_running_loop().create_task(self._remember(request))
        return self._making[request]

    async def _remember(self, request: AttestMachine) -> None:
        before = self._kept.get(request)
        try:
            made = await self._make(request)
        except Unavailable as error:
            kept = _Kept(at=self._clock.monotonic(), failure=error)
            if before is None or before.failure is None or before.failure.code != error.code:  # once, not at each try
                log.warning("attestation_failed", code=error.code, why=error.why, hint=error.hint)
        else:
            kept = _Kept(at=self._clock.monotonic(), text=made.attestation)
            if before is None or not before.text:
                log.info("attestation_made", by_role=request.by_role, notice=made.notice)
        finally:
            del self._making[request]
        # Nobody asks for an attestation of an earlier key or audience any more.
        self._kept = {one: found for one, found in self._kept.items() if one.binding == request.binding}
        self._kept[request] = kept
