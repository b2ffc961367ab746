"""What channels bring becomes one credential set.

The way of a bundle through the agent, function by function:

    BundleAdmission.admit     judged and opened (pure: admission_state.admit), then saved
    CredentialResolver.resolve
      desired_slot            what each slot should hold, by all that is known now (pure)
      slot_state.step         which source it uses, and what workers get (pure)
      CredentialStore.publish one set under one generation; listeners write files and tell subscribers

No file, socket or process is touched here but through what it is given; tests drive it on a clock of their own.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from msgspec import Struct

from credagent import log
from credagent.admission.admission_state import AdmissionSettings
from credagent.admission.bundle_admission import BundleAdmission
from credagent.admission.deferred_opening import DEFERRED, Outcome
from credagent.admission.rules import Standing
from credagent.channels.pull_channel import Content
from credagent.clock import Clock
from credagent.credentials import CredentialSet, Held, Slot, filled, origin_of
from credagent.errors import CredagentError, NotForThisMachine
from credagent.metric_counters import ORIGIN_CHANGES, RENEWALS, EventCounters
from credagent.slots import renewal_schedule
from credagent.slots.controller import Fetch, SlotController
from credagent.slots.credential_store import CredentialStore
from credagent.slots.desired_slot import ResolverSettings, desired_slot
from credagent.slots.refusal_log import RefusalLog

LONGEST_LIFE_S = 100 * 365 * 86_400.0
LEADS = {Slot.AWS: renewal_schedule.AWS_LEAD, Slot.GOOGLE: renewal_schedule.GOOGLE_LEAD, Slot.ENVIRONMENT: timedelta(0)}


class Arrival(Struct, frozen=True, kw_only=True):
    """The present content of a pull channel. `shared`: what is sealed to others only is absent there, not refused."""

    content: Content
    channel: str
    shared: bool = False


class Deadline(Struct, frozen=True, kw_only=True):
    """A moment that has come when either clock says so."""

    wall: datetime
    monotonic: float

    @classmethod
    def after(cls, seconds: float, now: datetime, monotonic: float) -> Self | None:
        """Return the moment in `seconds` from now, None where that is beyond all calendars."""
        if seconds > LONGEST_LIFE_S:
            return None
        return cls(wall=now + timedelta(seconds=seconds), monotonic=monotonic + seconds)

    def has_come(self, now: datetime, monotonic: float) -> bool:
        """Tell whether it has come."""
        return now >= self.wall or monotonic >= self.monotonic


class CredentialResolver:
    """Bundles in, credential sets out. The end of each pass is told to the listeners of `store`."""

    def __init__(
        self,
        settings: ResolverSettings,
        *,
        admission: BundleAdmission,
        store: CredentialStore,
        clock: Clock,
        fetch: Fetch,
    ) -> None:
        """Begin with nothing; `take_up` takes up what was in force before."""
        self.settings, self.admission, self.store, self._clock = settings, admission, store, clock
        self.counters = EventCounters()
        self.refusals = RefusalLog(self.counters, clock)
        self.controllers = {
            slot: SlotController(
                slot,
                lead=LEADS[slot],
                clock=clock,
                fetch=fetch,
                publish=self._publish,
                count=partial(self.counters.count, RENEWALS, slot.value),
            )
            for slot in Slot
        }
        self.waited_enough = False
        self._ends: Deadline | None = None  # when the first of what is handed out ends: asked at each request
        self.unlooked: frozenset[str] = frozenset()  # pull channels whose first content is still awaited
        store.listen(self._tell_origins)

    @property
    def settled(self) -> bool:
        """Whether every slot was tried once, or has had its time. A slot that is unresolved was not tried."""
        tried = all(controller.state.tried for controller in self.controllers.values())
        return self.waited_enough or (not self.unresolved and tried)

    @property
    def unresolved(self) -> bool:
        """Whether nobody knows yet what there is to go by.

        As long as no bundle is in force, and a channel that may bring one has not been looked at since the start or
        the last reload, no slot begins to use the machine's identity: what that channel holds may close it. `settle`
        bounds this (`wait_no_longer`). What may be held meanwhile is decided in slots/precedence.
        """
        return bool(self.unlooked) and self.admission.state.in_force is None

    def take_up(
        self, arrivals: Iterable[Arrival], *, unlooked: Iterable[str] = (), followed: Mapping[str, str] = {}
    ) -> None:
        """Begin, or go over to another configuration, in one pass.

        A state between two steps of a start or a reload is none that a slot may act on. What was in force is judged
        anew, then what channels hold (`arrivals`); `unlooked` are those that will tell later, and so will those whose
        content a key service has to open. `followed` gives the present name of each channel that was followed before.
        """
        self.admission.readmit()
        self.refusals.rename(followed)
        errors = {arrival.channel: self._judge(arrival) for arrival in arrivals}
        unopened = (channel for channel, error in errors.items() if error is not None and error.code in DEFERRED)
        self.unlooked = frozenset((*unlooked, *unopened))
        self.resolve()

    def reconfigure(self, admission: AdmissionSettings, settings: ResolverSettings) -> None:
        """Go by another configuration from the next pass on; `take_up` makes it."""
        self.admission.settings, self.settings = admission, settings

    def offer(self, arrival: Arrival, outcome: Outcome | None = None) -> CredagentError | None:
        """Take what a pull channel holds now; return why it is not in force, None where it is or is absent.

        `not-opened-yet`: nothing was refused, and nothing has changed; offer it again with what a key service made
        of it (`outcome`). `not-attested-yet`: likewise, when its sender's cloud has been asked.
        """
        error = self._judge(arrival, outcome)
        if error is None or error.code not in DEFERRED:
            self.unlooked -= {arrival.channel}
            self.resolve()
        return error

    def push(self, content: str, channel: str, outcome: Outcome | None = None) -> Standing:
        """Take what somebody delivered. Raises what `BundleAdmission.admit` raises; nothing has changed then."""
        try:
            standing = self.admission.admit(content, channel, outcome)
        except CredagentError as error:
            if error.code not in DEFERRED:
                self.refusals.refuse_push(error, channel)
            raise
        self.resolve()
        return standing

    def opened(self, outcomes: Mapping[str, Outcome]) -> None:
        """Take up what key services have opened of what is kept, or have not (by sealed text)."""
        self.admission.readmit(outcomes)
        self.resolve()

    def looked_at(self, channel: str) -> None:
        """Note that a channel was looked at and that nobody can say what it holds."""
        if channel in self.unlooked:
            self.unlooked -= {channel}
            self.resolve()

    def wait_no_longer(self) -> None:
        """Take every slot for tried, and every channel for looked at: their time is over."""
        self.waited_enough, self.unlooked = True, frozenset()
        self.resolve()

    def resolve(self) -> None:
        """Work out anew what each slot holds, by all that is known now, and publish the outcome as one set."""
        for slot, controller in self.controllers.items():
            controller.desire(
                desired_slot(
                    slot,
                    self.admission.state,
                    self.settings,
                    content_refused=bool(self.refusals.present),
                    unlooked=self.unresolved,
                )
            )
        self._publish()

    def present(self) -> CredentialSet:
        """Return the set for an answer that is given now; nothing in it has expired, however late the controllers are.

        A controller sleeps through a stepped clock or a suspension for as long as one wait lasts.
        """
        return self.present_at(self._clock.now())

    def present_at(self, now: datetime) -> CredentialSet:
        """Return the same to whoever has just looked at the wall clock."""
        if self._ends is not None and self._ends.has_come(now, self._clock.monotonic()):
            for controller in self.controllers.values():
                controller.look()
            self._publish()
        return self.store.current

    def is_filled(self, slot: Slot) -> bool:
        """Tell whether `slot` holds credentials that are valid for long enough to count."""
        return filled(self.store.current.content(slot), self._clock.now(), self.settings.min_validity)

    def _judge(self, arrival: Arrival, outcome: Outcome | None = None) -> CredagentError | None:
        """Admit what a channel holds, or remember why not; what is for others on a shared channel is absent."""
        content, channel = arrival.content, arrival.channel
        try:
            if isinstance(content, CredagentError):
                raise content
            if content is not None:
                self.admission.admit(content, channel, outcome)
        except NotForThisMachine as error:
            if not arrival.shared:
                self.refusals.refuse_content(error, channel)
                return error
        except CredagentError as error:
            if error.code not in DEFERRED:
                self.refusals.refuse_content(error, channel)
            return error
        self.refusals.lift(channel)
        return None

    def _publish(self) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        left_s = min(controller.state.left_s(now, monotonic) for controller in self.controllers.values())
        self._ends = Deadline.after(left_s, now, monotonic)
        self.store.publish({slot: controller.state.content for slot, controller in self.controllers.items()})

    def _tell_origins(self, old: CredentialSet, new: CredentialSet) -> None:
        if old is new:
            return
        for slot in Slot:
            before, after = origin_of(old.content(slot)), origin_of(new.content(slot))
            if before != after:
                self.counters.count(ORIGIN_CHANGES, slot.value, after)
                say = log.warning if self.controllers[slot].state.decision.loud else log.info
                say("origin_changed", slot=slot.value, before=before, origin=after, generation=new.generation)
        origins = {slot.value: origin_of(new.content(slot)) for slot in Slot}
        log.info("credentials_replaced", generation=new.generation, **origins, expires_in_s=self._ends_in(new))

    def _ends_in(self, credential_set: CredentialSet) -> int | None:
        contents = (credential_set.content(slot) for slot in Slot)
        ends = [held.expires_at for held in contents if isinstance(held, Held) and held.expires_at is not None]
        return int((min(ends) - self._clock.now()).total_seconds()) if ends else None
