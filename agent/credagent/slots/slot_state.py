"""One slot as a frozen state, and the pure steps from one state to the next. No clock, no fetching, no log.

    desired (bundles, channels, configuration) ─┐
    what the source in use holds, by now ───────┼─► decide (`precedence`) ─► source in use ─► content
    what the content was a moment ago ──────────┘

`step` is taken at each order, at each look at the clocks and after each attempt; what people should hear of it is
returned as events. `due` says what to attempt next and when, `after_attempt` what an attempt makes of the state.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, structs

from credagent.credentials import Empty, Held, Slot, SlotContent, Statement
from credagent.slots import renewal_schedule
from credagent.slots.desired_slot import DesiredSlot, loss_of
from credagent.slots.precedence import Decision, Fallback, Situation, Use, decide
from credagent.slots.source_state import (
    GrantSource,
    Instant,
    MachineSource,
    Source,
    SourceFailure,
    SourceState,
    begin,
    expired,
)


class SlotEvent(Struct, frozen=True, kw_only=True):
    """Something that people should hear of."""

    name: str
    fields: Mapping[str, object]
    quiet: bool = False


class SlotState(Struct, frozen=True, kw_only=True):
    """What a slot should hold, what it hands out, and the sources behind it.

    `content` is what workers get, `content_source` where it came from. `tried`: the slot had its first attempt.
    `grant` and `machine` are the two sources, as far as they are of use. `warned_share` is the part of the life of a
    session of which its passing was said. `taken_back`: what was handed out of a grant that is forbidden now.
    `loss`: why nothing is held where nothing could have failed.
    """

    slot: Slot
    lead: timedelta
    desired: DesiredSlot = DesiredSlot()
    content: SlotContent = Empty()
    content_source: Source | None = None
    decision: Decision = Decision(Use.NOTHING)
    tried: bool = False
    grant: SourceState | None = None
    machine: SourceState | None = None
    warned_share: float = 0.0
    taken_back: bool = False
    loss: SourceFailure | None = None

    @property
    def in_use(self) -> SourceState | None:
        """Return the source that the decision names."""
        if not self.desired.handed_over:
            return None
        match self.decision.use:
            case Use.GRANT:
                return self.grant
            case Use.MACHINE | Use.PREPARE:
                return self.machine
            case Use.KEEP:
                return self.machine or self.grant
            case Use.NOTHING:
                return None

    @property
    def failure(self) -> SourceFailure | None:
        """Return why the slot does not hold what it should: of the source in use, else of the grant that was lost."""
        for source in (self.in_use, self.grant):
            if source is not None and source.failure is not None:
                return source.failure
        return self.loss

    def renew_at(self, now: datetime, monotonic: float) -> datetime | None:
        """Return when the source in use is renewed, by the present wall clock; None where it is not."""
        source = self.in_use
        if source is None or source.renew_at is None:
            return None
        return source.by_this_clock(source.renew_at, now, monotonic)

    def left_s(self, now: datetime, monotonic: float) -> float:
        """Return how long what is handed out is still valid, by both clocks; infinite where nothing can end."""
        if not isinstance(self.content, Held) or self.content.expires_at is None:
            return float("inf")
        by_wall = (self.content.expires_at - now).total_seconds()
        source = next((one for one in (self.grant, self.machine) if one and one.source == self.content_source), None)
        left_s = source.left_s(now, monotonic) if source is not None else None
        return by_wall if left_s is None else min(by_wall, left_s)

    def due(self, now: datetime, monotonic: float) -> tuple[SourceState | None, float]:
        """Return which source to attempt next, and the seconds until then; a lost grant behind a fallback too."""
        if not self.may_attempt or self.desired.statement is Statement.WITHDRAWN:
            return None, float("inf")
        sources = [source for source in (self.in_use, self.grant) if source is not None]
        waits = [(source.seconds_until_due(now, monotonic), source) for source in sources]
        wait_s, source = min(waits, key=lambda one: one[0], default=(float("inf"), None))
        return source, wait_s

    def wait_s(self, now: datetime, monotonic: float) -> float:
        """Return how long nothing has to be done: no attempt is due, and nothing that is handed out ends."""
        _, until = self.due(now, monotonic)
        return renewal_schedule.look_wait_s(min(until, self.left_s(now, monotonic)), monotonic)

    def renewable(self, now: datetime) -> SourceState | None:
        """Return what a person's wish for a renewal is about: the grant that was lost, else the source in use.

        Whoever has given a deleted role back need not wait for the next slow retry of a refusal.
        """
        chosen = (self.grant, self.in_use) if self.decision.loud else (self.in_use,)
        source = next((one for one in chosen if one is not None and one.attempted(now)), None)
        return source if self.may_attempt else None

    @property
    def may_attempt(self) -> bool:
        """Whether anything may be fetched: what is only kept ends when it ends, whoever asks for more of it."""
        return self.desired.handed_over and (self.decision.use is not Use.KEEP or self.decision.renew)


def step(
    state: SlotState, desired: DesiredSlot, now: datetime, monotonic: float
) -> tuple[SlotState, tuple[SlotEvent, ...]]:
    """Return the state by what is desired and by the present clocks, with what people should hear of."""
    state = _directed(state, desired, now)
    state = structs.replace(
        state,
        grant=state.grant and state.grant.as_of(now, monotonic),
        machine=state.machine and state.machine.as_of(now, monotonic),
    )
    state = _decided(state, decide(situation(state, now)))
    source = state.in_use
    nothing_to_try = not desired.unresolved and (source is None or source.tried)
    state = structs.replace(state, tried=state.tried or not desired.handed_over or nothing_to_try)
    warned = _with_warnings(state, now)
    events = tuple(_news(state, warned, now))
    content, origin = _content(warned, now, monotonic)
    return structs.replace(warned, content=content, content_source=origin), events


def after_attempt(
    state: SlotState, source: Source, came: Held | SourceFailure, *, now: datetime, monotonic: float, jitter: float
) -> tuple[SlotState, str, tuple[SlotEvent, ...]]:
    """Return the state after an attempt, its outcome (`renewed`, `unchanged`, `failed: CODE`), and what to hear of it.

    Nothing changes where another order replaced the source during the attempt, or took its target away.
    """
    before = next((one for one in (state.grant, state.machine) if one is not None and one.source == source), None)
    if isinstance(came, Held):
        same = before is not None and before.held is not None and before.held.credentials == came.credentials
        outcome = "unchanged" if same else "renewed"
    else:
        outcome = f"failed: {came.code}"
    if before is None or (before is state.grant and state.desired.forbidden and isinstance(came, Held)):
        return state, outcome, ()
    if isinstance(came, Held):
        obtained = Instant(wall=now, monotonic=monotonic)
        after = before.succeeded(came, lead=state.lead, jitter=jitter, obtained=obtained)
    else:
        after = before.failed(came, now=now, monotonic=monotonic, jitter=jitter)
    replaced = {"grant" if before is state.grant else "machine": after}
    return structs.replace(state, **replaced), outcome, tuple(_failure_event(after))


def _failure_event(after: SourceState) -> Iterator[SlotEvent]:
    if after.failure is not None:
        told = after.failure
        fields = {"code": told.code, "why": told.message, "failures": told.failures}
        yield SlotEvent(name="renewal_failed", fields=fields, quiet=told.quiet)


def _directed(state: SlotState, desired: DesiredSlot, now: datetime) -> SlotState:
    """Return the state with another order: a grant that is new to it begins, one that is gone ends."""
    before = state.desired
    if desired.forbidden and not before.forbidden:
        of_the_machine = isinstance(state.content, Held) and isinstance(state.content_source, MachineSource)
        # Also at a start: workers may have what was handed out before it.
        state = structs.replace(state, taken_back=not of_the_machine)
    state = structs.replace(state, desired=desired)
    grant = desired.grant or desired.earlier_grant
    if grant is None:
        return structs.replace(state, grant=None)
    if state.grant is None or state.grant.source != grant or before.forbidden != desired.forbidden:
        return structs.replace(state, grant=begin(grant, now), warned_share=0.0)
    return state


def situation(state: SlotState, now: datetime) -> Situation:
    """Return all that the choice of a source depends on."""
    desired, grant = state.desired, state.grant
    machines_never = desired.fallback is Fallback.NEVER and isinstance(state.content_source, MachineSource)
    return Situation(
        statement=desired.statement,
        fallback=desired.fallback,
        grant_lost=grant is not None and grant.tried and grant.held is None,
        earlier_grant=desired.earlier_grant is not None,
        holds=isinstance(state.content, Held) and not expired(state.content, now) and not machines_never,
        content_refused=desired.content_refused,
        awaited=desired.awaited,
        unlooked=desired.unlooked,
    )


def _decided(state: SlotState, decision: Decision) -> SlotState:
    """Return the state with the machine's identity begun where it is of use, and dropped where it is not.

    Kept beside a grant it could be taken for what is held when that grant is lost.
    """
    state = structs.replace(state, decision=decision)
    if not state.desired.handed_over or decision.use is Use.KEEP:
        return state
    wanted = decision.use in (Use.MACHINE, Use.PREPARE) and state.slot is not Slot.ENVIRONMENT
    machine = state.machine or SourceState(source=MachineSource(slot=state.slot))
    return structs.replace(state, machine=machine if wanted else None)


def _content(state: SlotState, now: datetime, monotonic: float) -> tuple[SlotContent, Source | None]:
    """Return what workers get, and where it came from."""
    source, use = state.in_use, state.decision.use
    if source is not None and source.held is not None and use is not Use.PREPARE:
        shown = source.shown(now, monotonic)
        return shown or Empty(), source.source
    if source is not None and not source.tried and use is not Use.PREPARE and _stays_meanwhile(state, now):
        return state.content, state.content_source
    desired = state.desired
    nothing_to_fall_to = state.slot is Slot.ENVIRONMENT or not desired.handed_over
    # What was handed out of a target that is no longer listed is good for hours, unlike what has expired.
    taken_back = desired.statement is Statement.WITHDRAWN or (desired.forbidden and state.taken_back)
    empty = Empty(may_fall_back=use is Use.MACHINE or nothing_to_fall_to, withdrawn=taken_back)
    return empty, state.content_source


def _stays_meanwhile(state: SlotState, now: datetime) -> bool:
    """Tell whether the content stays until a new source's first attempt is over: a change must not be a gap.

    But a slot that was granted is not the machine's for a second longer, unless it may be that when all fails.
    """
    desired = state.desired
    if not isinstance(state.content, Held) or expired(state.content, now):
        return False
    if isinstance(state.content_source, GrantSource):
        # Else its sender was removed, it is not admitted any more, or its target is not listed any more.
        return desired.bundle_in_force and not desired.forbidden
    return state.decision.use is not Use.GRANT or desired.fallback is Fallback.EXPIRED


def _with_warnings(state: SlotState, now: datetime) -> SlotState:
    """Return the state with what is to be said of its end and of its loss counted as said."""
    lost = state.decision.loud and state.desired.handed_over
    loss = (state.loss or loss_of(state.desired, now)) if lost else None
    return structs.replace(state, loss=loss, warned_share=max(state.warned_share, _life_passed(state, now)))


def _life_passed(state: SlotState, now: datetime) -> float:
    """Return the warning share that has passed of a session which only its sender can renew."""
    source = state.in_use
    if source is None or source.fetched or source.held is None or source.held.expires_at is None:
        return 0.0
    return renewal_schedule.warning_share(source.held.obtained_at, source.held.expires_at, now)


def _news(before: SlotState, after: SlotState, now: datetime) -> Iterator[SlotEvent]:
    """Yield that a session nears its end, and that a slot does not get what was meant for it: each once."""
    source = after.in_use
    if after.warned_share > before.warned_share and source is not None and source.held is not None:
        ends = source.held.expires_at or now
        left_s = int((ends - now).total_seconds())
        passed = {"life_passed": after.warned_share, "expires_in_s": left_s}
        yield SlotEvent(name="session_not_renewed", fields=passed)
    why = after.failure
    if after.loss is not None and before.loss is None and why is not None:
        fields = {"code": why.code, "hint": why.hint, "instead": after.decision.use.value}
        yield SlotEvent(name="credentials_lost", fields=fields)
