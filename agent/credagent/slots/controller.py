"""Keeps one slot: chooses its source, tries it, renews what it gave, and says what workers get. One attempt at a time.

The choice is slots/precedence, the times are slots/renewal_schedule, what an attempt makes of a source is `track`.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from credagent import log
from credagent.clock import Clock
from credagent.credentials import Empty, Held, Slot, SlotContent, Statement
from credagent.errors import CredagentError, InternalError
from credagent.slots import renewal_schedule
from credagent.slots.desired_slot import DesiredSlot, loss_of
from credagent.slots.precedence import Decision, Fallback, Situation, Use, decide
from credagent.slots.source_state import (
    GrantSource,
    MachineSource,
    Source,
    SourceFailure,
    SourceState,
    ahead_s,
    begin,
    expired,
    failure_from,
)

if TYPE_CHECKING:
    import asyncio

Fetch = Callable[[Source], Awaitable[Held]]
"""Obtains credentials from a source. Raises Unavailable; `retry` False means that asking again soon cannot help."""


class SlotController:
    """The keeper of one slot. `content` is what workers get; `on_change` is called when it may have changed."""

    def __init__(
        self,
        slot: Slot,
        *,
        lead: timedelta,
        clock: Clock,
        fetch: Fetch,
        on_change: Callable[[], None],
        on_attempt: Callable[[str], object] = str,
    ) -> None:
        """Start without an order: nothing is held and nothing was tried. `on_attempt` is told each outcome."""
        self.slot = slot
        self.order = DesiredSlot()
        self.content: SlotContent = Empty()
        self.decision = Decision(Use.NOTHING)
        self.tried = False
        self.track: SourceState | None = None
        self._grant_track: SourceState | None = None
        self._machine_track: SourceState | None = None
        self._lead, self._clock, self._fetch = lead, clock, fetch
        self._on_change, self._on_attempt = on_change, on_attempt
        self._content_from: Source | None = None
        self._warned_share = 0.0
        self._taken_back = False
        self._loss: SourceFailure | None = None
        self._wake: asyncio.Event | None = None
        self._attempt: asyncio.Task[str] | None = None

    def instruct(self, order: DesiredSlot) -> None:
        """Take a new order and act on all of it that needs no waiting."""
        before, self.order = self.order, order
        if order.forbidden and not before.forbidden:
            machines = isinstance(self.content, Held) and isinstance(self._content_from, MachineSource)
            self._taken_back = not machines  # also at a start: workers may have what was handed out before it
        grant = order.grant or order.earlier_grant
        if grant is None:
            self._grant_track = None
        elif self._grant_track is None or self._grant_track.source != grant or before.forbidden != order.forbidden:
            self._grant_track = begin(grant, self._clock.now())
            self._warned_share = 0.0
        self.look()
        if self._wake is not None:
            self._wake.set()

    def look(self) -> None:
        """Judge by the present clock what is held, what to use, and what workers get."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._grant_track is not None:
            self._grant_track = self._grant_track.set_back(now, monotonic).as_of(now)
        if self._machine_track is not None:
            self._machine_track = self._machine_track.set_back(now, monotonic).as_of(now)
        self.decision = decide(self._situation(now))
        self.track = self._track_in_use()
        before = self.tried
        nothing_to_try = not self.order.unresolved and (self.track is None or self.track.tried)
        self.tried = before or not self.order.handed_over or nothing_to_try
        self._warn_of_the_end(now)
        self._warn_of_a_loss(now)
        content = self._content(now)
        if content != self.content or before != self.tried:
            self.content = content
            self._on_change()

    async def run(self) -> None:
        """Keep the slot until cancelled."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        self._wake = asyncio.Event()
        while True:
            self.look()
            track = self._due_track()
            if track is not None:
                await self._attempt_now(track)
                continue
            await self._clock.wait(self._wake, self._wait_s())
            self._wake.clear()

    async def renew(self) -> str:
        """Try the grant that was lost, else the source in use; return `renewed`, `unchanged` or `failed: CODE`.

        Whoever has given a deleted role back need not wait for the next slow retry of a permanent refusal.
        """
        now = self._clock.now()
        chosen = (self._grant_track, self.track) if self.decision.loud else (self.track,)
        track = next((track for track in chosen if track is not None and track.attempted(now)), None)
        if track is None or not self._may_attempt():
            return "unchanged"
        return await self._attempt_now(track)

    @property
    def failure(self) -> SourceFailure | None:
        """Why the slot does not hold what it should: of the source in use, else of the grant that was lost."""
        for track in (self.track, self._grant_track):
            if track is not None and track.failure is not None:
                return track.failure
        return self._loss

    def _situation(self, now: datetime) -> Situation:
        order, track = self.order, self._grant_track
        machines_never = order.fallback is Fallback.NEVER and isinstance(self._content_from, MachineSource)
        return Situation(
            statement=order.statement,
            fallback=order.fallback,
            grant_lost=track is not None and track.tried and track.held is None,
            earlier_grant=order.earlier_grant is not None,
            holds=isinstance(self.content, Held) and not expired(self.content, now) and not machines_never,
            content_refused=order.content_refused,
            awaited=order.awaited,
            unlooked=order.unlooked,
        )

    def _track_in_use(self) -> SourceState | None:
        if not self.order.handed_over:
            return None
        match self.decision.use:
            case Use.GRANT:
                self._machine_track = None  # else it could be taken for what is held when this grant is lost
                return self._grant_track
            case Use.MACHINE | Use.PREPARE:
                if self.slot is Slot.ENVIRONMENT:
                    return None
                if self._machine_track is None:
                    self._machine_track = SourceState(source=MachineSource(slot=self.slot))
                return self._machine_track
            case Use.KEEP:
                return self._machine_track or self._grant_track
            case Use.NOTHING:
                self._machine_track = None
                return None

    def _content(self, now: datetime) -> SlotContent:
        track = self.track if self.decision.use is not Use.PREPARE else None
        if track is not None and track.held is not None:
            self._content_from = track.source
            return track.held
        if track is not None and not track.tried and self._stays_meanwhile(now):
            return self.content
        nothing_to_fall_to = self.slot is Slot.ENVIRONMENT or not self.order.handed_over
        falls_back = self.decision.use is Use.MACHINE or nothing_to_fall_to
        # What was handed out of a target that is no longer listed is good for hours, unlike what has expired.
        taken_back = self.order.statement is Statement.WITHDRAWN or (self.order.forbidden and self._taken_back)
        return Empty(may_fall_back=falls_back, withdrawn=taken_back)

    def _stays_meanwhile(self, now: datetime) -> bool:
        """Tell whether the content stays until a new source's first attempt is over: a change must not be a gap.

        But a slot that was granted is not the machine's for a second longer, unless it may be that when all fails.
        """
        if not isinstance(self.content, Held) or expired(self.content, now):
            return False
        if isinstance(self._content_from, GrantSource):
            # Else its sender was removed, it is not admitted any more, or its target is not listed any more.
            return self.order.bundle_in_force and not self.order.forbidden
        return self.decision.use is not Use.GRANT or self.order.fallback is Fallback.EXPIRED

    def _attempted_track(self) -> SourceState | None:
        """Return the track to attempt when due: the one in use, and a lost grant behind a fallback."""
        if not self._may_attempt():
            return None
        now, monotonic = self._clock.now(), self._clock.monotonic()
        tracks = [track for track in (self.track, self._grant_track) if track is not None]
        if self.order.statement is Statement.WITHDRAWN:
            return None
        return min(tracks, key=lambda track: track.seconds_until_due(now, monotonic), default=None)

    def _may_attempt(self) -> bool:
        """Tell whether anything may be fetched: what is only kept ends when it ends, whoever asks for more of it."""
        return self.order.handed_over and (self.decision.use is not Use.KEEP or self.decision.renew)

    def _due_track(self) -> SourceState | None:
        track = self._attempted_track()
        if track is None or track.seconds_until_due(self._clock.now(), self._clock.monotonic()) > 0:
            return None
        return track

    def _wait_s(self) -> float:
        track = self._attempted_track()
        now = self._clock.now()
        until = float("inf") if track is None else track.seconds_until_due(now, self._clock.monotonic())
        if isinstance(self.content, Held) and self.content.expires_at is not None:
            until = min(until, (self.content.expires_at - now).total_seconds())
        return renewal_schedule.look_wait_s(until)

    async def _attempt_now(self, track: SourceState) -> str:
        """Join the attempt under way, or make one; a caller that gives up does not end it for the others."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._attempt_on(track))
        return await asyncio.shield(self._attempt)

    async def _attempt_on(self, track: SourceState) -> str:
        import random  # noqa: PLC0415  as above

        jitter = random.uniform(-1, 1)  # noqa: S311  spreads load, hides nothing
        try:
            held = await self._fetched(track.source)
        except CredagentError as error:
            after = track.failed(
                failure_from(error, self._clock.now()), monotonic=self._clock.monotonic(), jitter=jitter
            )
            outcome = f"failed: {error.code}"
            self._on_attempt("failed")
        else:
            ahead = ahead_s(self._clock.now(), self._clock.monotonic())
            after = track.obtained(held, lead=self._lead, jitter=jitter, ahead_s=ahead)
            same = track.held is not None and track.held.credentials == held.credentials
            outcome = "unchanged" if same else "renewed"
            self._on_attempt(outcome)
        self._settle(track, after)
        return outcome

    async def _fetched(self, source: Source) -> Held:
        """Return what `source` gives. A defect is a failure like others: it must not end the agent."""
        try:
            return await self._fetch(source)
        except CredagentError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a cloud's answer brings about; its text may quote it
            why = f"handling the answer failed ({type(error).__name__})"
            raise InternalError("internal", why, hint="this is a defect of credagent: report it") from None

    def _settle(self, before: SourceState, after: SourceState) -> None:
        """Put the outcome where it belongs, unless an order replaced the source during the attempt."""
        if self._grant_track is not None and self._grant_track.source == before.source:
            if self.order.forbidden and after.held is not None:
                return  # a reload took the target away during the attempt; the next one says so
            self._grant_track = after
        elif self._machine_track is not None and self._machine_track.source == before.source:
            self._machine_track = after
        else:
            return
        if after.failure is not None:
            say = log.info if after.failure.quiet else log.warning
            code, why, failures = after.failure.code, after.failure.message, after.failure.failures
            say("renewal_failed", slot=self.slot.value, code=code, why=why, failures=failures)
        self.look()

    def _warn_of_a_loss(self, now: datetime) -> None:
        """Say once that a slot does not get what was meant for it, also where nothing was held before (a restart)."""
        if not self.decision.loud or not self.order.handed_over:
            self._loss = None
        elif self._loss is None:
            self._loss = loss_of(self.order, now)
            why, use = self.failure or self._loss, self.decision.use.value
            log.warning("credentials_lost", slot=self.slot.value, code=why.code, hint=why.hint, instead=use)

    def _warn_of_the_end(self, now: datetime) -> None:
        track = self.track
        if track is None or track.fetched or track.held is None or track.held.expires_at is None:
            return
        share = renewal_schedule.warning_share(track.held.obtained_at, track.held.expires_at, now)
        if share > self._warned_share:
            self._warned_share = share
            left_s = int((track.held.expires_at - now).total_seconds())
            log.warning("session_not_renewed", slot=self.slot.value, life_passed=share, expires_in_s=left_s)
