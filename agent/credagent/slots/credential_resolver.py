"""The agent's heart: what channels bring becomes orders, orders become contents, contents become one credential set.

No file, socket or process is touched here but through what it is given; tests drive it on a clock of their own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from credagent import log
from credagent.admission.bundle_admission import Admitted, BundleAdmission
from credagent.admission.deferred_opening import Outcome
from credagent.admission.rules import Standing
from credagent.bundle.refusal_codes import RefusalCode as BundleFailure
from credagent.channels.pull_channel import Content
from credagent.clock import Clock
from credagent.credentials import Held, Slot, Statement, filled, origin_of
from credagent.errors import CredagentError, NotForThisMachine
from credagent.event_counters import ORIGIN_CHANGES, REFUSED_BUNDLES, RENEWALS, EventCounters
from credagent.slots import renewal_schedule
from credagent.slots.allowed_targets import Targets
from credagent.slots.controller import Fetch, SlotController
from credagent.slots.credential_store import CredentialStore
from credagent.slots.desired_slot import DesiredSlot
from credagent.slots.precedence import Fallback
from credagent.slots.refusal_log import Refusal
from credagent.slots.source_state import GrantSource, expired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credagent.credentials import CredentialSet

REMEMBERED_REFUSALS = 20
LEADS = {Slot.AWS: renewal_schedule.AWS_LEAD, Slot.GOOGLE: renewal_schedule.GOOGLE_LEAD, Slot.ENVIRONMENT: timedelta(0)}
NOT_REFUSED_CONTENT = frozenset({BundleFailure.REPLAYED.value, BundleFailure.SUPERSEDED.value})
"""Refusals that leave a pull channel's slots alone: old content is what it was, and says nothing against anybody."""


class SlotSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of one slot."""

    fallback: Fallback = Fallback.ABSENT
    required: bool = False
    handover: str = "off"


class ResolverSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of all slots."""

    slots: Mapping[Slot, SlotSettings]
    bundle_required: bool = False
    min_validity: timedelta = timedelta(seconds=10)
    targets: Targets = Targets()


class CredentialResolver:
    """Bundles in, credential sets out. Changes are told to the listeners of `store`."""

    def __init__(
        self, rules: ResolverSettings, *, intake: BundleAdmission, store: CredentialStore, clock: Clock, fetch: Fetch
    ) -> None:
        """Begin with nothing; `begin` takes up what was in force before."""
        self.rules, self.intake, self.store, self.clock = rules, intake, store, clock
        self.counters = EventCounters()
        self.keepers = {
            slot: SlotController(
                slot,
                lead=LEADS[slot],
                clock=clock,
                fetch=fetch,
                on_change=self._publish,
                on_attempt=partial(self.counters.count, RENEWALS, slot.value),
            )
            for slot in Slot
        }
        self.refused_now: dict[str, Refusal] = {}
        self.refusals: deque[Refusal] = deque(maxlen=REMEMBERED_REFUSALS)
        self.waited_enough = False
        self.unlooked: frozenset[str] = frozenset()  # pull channels whose first content is still awaited
        self.on_change: Callable[[], None] = nothing
        self._said: dict[str, str] = {}  # of each pull channel, so that looking again says nothing twice
        self._holding_back = 0
        self._to_instruct = False
        store.listen(self._tell_origins)

    @property
    def settled(self) -> bool:
        """Whether every slot was tried once, or has had its time. A slot that is unresolved was not tried."""
        return self.waited_enough or (not self.unresolved and all(keeper.tried for keeper in self.keepers.values()))

    @property
    def unresolved(self) -> bool:
        """Whether nobody knows yet what there is to go by.

        As long as no bundle is in force, and a channel that may bring one has not been looked at since the start or
        the last reload, no slot begins to use the machine's identity: what that channel holds may close it. `settle`
        bounds this (`wait_no_longer`). What may be held meanwhile is decided in slots/precedence.
        """
        return bool(self.unlooked) and self.intake.in_force is None

    def begin(self, *, waiting: bool = False) -> None:
        """Take up what was in force; what only a key service opens, later (`reopened`) unless this is `waiting`."""
        self.intake.restore(None if waiting else {})
        self.instruct()

    def reopened(self, outcomes: Mapping[str, Outcome]) -> None:
        """Take up what a key service has opened, or has not."""
        self.intake.restore(outcomes)
        self.instruct()

    def looked_at(self, channel: str) -> None:
        """Note that a channel's first content was told."""
        if channel in self.unlooked:
            self.unlooked -= {channel}
            self.instruct()

    def wait_no_longer(self) -> None:
        """Take every slot for tried, and every channel for looked at: their time is over."""
        self.waited_enough, self.unlooked = True, frozenset()
        self.instruct()

    def follows(self, names: Mapping[str, str], *, unlooked: Iterable[str]) -> None:
        """Go over to other pull channels: `names` gives the present name of each former one that is still there.

        A refusal stands until its channel is told anew: a reload opens no closed slot.
        """
        self.refused_now = {names[name]: refusal for name, refusal in self.refused_now.items() if name in names}
        self.unlooked = frozenset(unlooked)
        self.instruct()

    def offer(self, content: Content, channel: str, *, shared: bool = False) -> CredagentError | None:
        """Take the present content of a pull channel; return why it is not in force, None where it is or is absent."""
        if content is None:
            self._no_longer_refused(channel)
            return None
        try:
            if isinstance(content, CredagentError):
                raise content
            self.intake.take(content, channel)
        except CredagentError as error:
            self.refuse_content(error, channel, shared=shared)
            return error
        self.accepted(channel)
        return None

    def refuse_content(self, error: CredagentError, channel: str, *, shared: bool) -> None:
        """Refuse the present content of a pull channel; what is for others on a shared one is absent, not refused."""
        if shared and isinstance(error, NotForThisMachine):
            self._no_longer_refused(channel)
            return
        self.refuse(error, channel, pull=True)

    def push(self, content: str, channel: str) -> Standing:
        """Take what somebody delivered. Raises what `Intake.take` raises; nothing has changed then."""
        try:
            standing = self.intake.take(content, channel)
        except CredagentError as error:
            self.refuse(error, channel, pull=False)
            raise
        self.accepted(channel)
        return standing

    def accepted(self, channel: str) -> None:
        """Act on a bundle that the intake has admitted, or met again."""
        self._no_longer_refused(channel)
        self.instruct()

    def refuse(self, error: CredagentError, channel: str, *, pull: bool) -> None:
        """Keep a refusal in mind. Only the refused content of a pull channel has a say in what slots fall back to."""
        refusal = Refusal(code=error.code, at=self.clock.now(), channel=channel, message=str(error), hint=error.hint)
        if not pull or self._said.get(channel) != refusal.message:
            self.counters.count(REFUSED_BUNDLES, error.code)
            log.warning("bundle_refused", channel=channel, code=error.code, why=error.why, hint=error.hint)
            self.refusals.append(refusal)
        if pull:
            self._said[channel] = refusal.message
        if not pull:
            return
        if error.code in NOT_REFUSED_CONTENT:
            self.refused_now.pop(channel, None)
        else:
            self.refused_now[channel] = refusal
        self.instruct()

    def instruct(self) -> None:
        """Tell every keeper what holds now, and publish the outcome as one set. Within `one_set`, at its end.

        A state between two steps of one pass (a start, a reload) is none that a slot may act on.
        """
        self._to_instruct = True
        with self.one_set():
            pass

    def present(self) -> "CredentialSet":
        """Return the set for an answer that is given now; nothing in it has expired, however late the keepers are.

        A keeper sleeps through a stepped clock or a suspension for as long as one wait lasts.
        """
        now = self.clock.now()
        contents = (self.store.current.content(slot) for slot in Slot)
        if any(isinstance(content, Held) and expired(content, now) for content in contents):
            with self.one_set():
                for keeper in self.keepers.values():
                    keeper.look()
        return self.store.current

    def is_filled(self, slot: Slot) -> bool:
        """Tell whether `slot` holds credentials that are valid for long enough to count."""
        return filled(self.store.current.content(slot), self.clock.now(), self.rules.min_validity)

    def _no_longer_refused(self, channel: str) -> None:
        self._said.pop(channel, None)
        if self.refused_now.pop(channel, None) is not None:
            self.instruct()

    def _order(self, slot: Slot) -> DesiredSlot:
        rules, intake = self.rules.slots[slot], self.intake
        statement, grant, earlier = self._statement(slot), None, None
        if intake.in_force is not None:
            grant = source_of(intake.in_force, slot)
            if statement is Statement.UNAVAILABLE and slot in intake.earlier:
                earlier = source_of(intake.earlier[slot], slot)
        return DesiredSlot(
            statement=statement,
            grant=grant,
            earlier_grant=earlier,
            fallback=rules.fallback,
            content_refused=bool(self.refused_now),
            handed_over=rules.handover != "off",
            bundle_in_force=intake.in_force is not None,
            awaited=intake.awaits(slot),
            unlooked=self.unresolved,
            forbidden=any(one is not None and not self.rules.targets.allow(one.grant) for one in (grant, earlier)),
        )

    def _statement(self, slot: Slot) -> Statement | None:
        intake = self.intake
        if intake.in_force is not None:
            said = intake.in_force.bundle.statement(slot)
            lost_its_sender = said is Statement.UNAVAILABLE and slot in intake.cut_off
            return Statement.WITHDRAWN if lost_its_sender else said
        if intake.withheld is None or intake.awaited:
            return None
        said_then = intake.withheld_bundle.statement(slot) if intake.withheld_bundle is not None else None
        if said_then in (Statement.DECLINED, Statement.WITHDRAWN):
            return said_then
        # Somebody granted something that may not be used now: that is not the same as nobody having sent anything.
        return Statement.WITHDRAWN if intake.sender_removed else Statement.UNAVAILABLE

    @contextmanager
    def one_set(self) -> "Iterator[None]":
        """Publish what changes inside as one set, at the end."""
        self._holding_back += 1
        try:
            yield
        finally:
            if self._holding_back == 1 and self._to_instruct:
                self._to_instruct = False
                for slot, keeper in self.keepers.items():
                    keeper.instruct(self._order(slot))
            self._holding_back -= 1
            self._publish()

    def _publish(self) -> None:
        if not self._holding_back:
            self.store.replace({slot: keeper.content for slot, keeper in self.keepers.items()})
            self.on_change()

    def _tell_origins(self, old: "CredentialSet", new: "CredentialSet") -> None:
        for slot in Slot:
            before, after = origin_of(old.content(slot)), origin_of(new.content(slot))
            if before != after:
                self.counters.count(ORIGIN_CHANGES, slot.value, after)
                say = log.warning if self.keepers[slot].decision.loud else log.info
                say("origin_changed", slot=slot.value, before=before, origin=after, generation=new.generation)
        origins = {slot.value: origin_of(new.content(slot)) for slot in Slot}
        log.info("credentials_replaced", generation=new.generation, **origins, expires_in_s=self._ends_in(new))

    def _ends_in(self, credential_set: "CredentialSet") -> int | None:
        contents = (credential_set.content(slot) for slot in Slot)
        ends = [held.expires_at for held in contents if isinstance(held, Held) and held.expires_at is not None]
        return int((min(ends) - self.clock.now()).total_seconds()) if ends else None


def nothing() -> None:
    """Do nothing: nobody listens yet."""


def source_of(admitted: Admitted, slot: Slot) -> GrantSource | None:
    """Return what an admitted bundle grants for `slot`."""
    grant = admitted.bundle.grant(slot)
    if grant is None:
        return None
    return GrantSource(grant=grant, not_after=admitted.bundle.not_after, issued_at=admitted.bundle.issued_at)
