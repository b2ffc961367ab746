"""Runs one slot: waits, attempts what is due, one attempt at a time, and publishes. Decisions are in slot_state."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from credagent import log
from credagent.clock import Clock
from credagent.credentials import Held, Slot
from credagent.errors import CredagentError, InternalError
from credagent.slots import slot_state
from credagent.slots.desired_slot import DesiredSlot
from credagent.slots.slot_state import SlotEvent, SlotState
from credagent.slots.source_state import Source, SourceFailure, failure_from

if TYPE_CHECKING:
    import asyncio

Fetch = Callable[[Source], Awaitable[Held]]
"""Obtains credentials from a source. Raises Unavailable; `retry` False means that asking again soon cannot help."""


class SlotController:
    """The runner of one slot; `state` is replaced whole by each step."""

    def __init__(
        self,
        slot: Slot,
        *,
        lead: timedelta,
        clock: Clock,
        fetch: Fetch,
        publish: Callable[[], None],
        count: Callable[[str], None],
    ) -> None:
        """Begin with nothing held and nothing tried.

        `publish` is called when the passing of time or an attempt has changed the content, not for what `desire` and
        `look` change: whoever calls those publishes all slots at once. `count` is told the outcome of each attempt.
        """
        self.state = SlotState(slot=slot, lead=lead)
        self._clock, self._fetch, self._publish, self._count = clock, fetch, publish, count
        self._wake: asyncio.Event | None = None
        self._attempt: asyncio.Task[str] | None = None

    def desire(self, desired: DesiredSlot) -> None:
        """Take another order, and act on all of it that needs no waiting."""
        self._step(desired)
        if self._wake is not None:
            self._wake.set()

    def look(self) -> bool:
        """Judge by the present clocks what is held, what to use and what workers get; tell whether that has changed."""
        return self._step(self.state.desired)

    async def run(self) -> None:
        """Keep the slot until cancelled."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        self._wake = asyncio.Event()
        while True:
            self._look_and_publish()
            now, monotonic = self._clock.now(), self._clock.monotonic()
            source, wait_s = self.state.due(now, monotonic)
            if source is not None and wait_s <= 0:
                await self._attempt_now(source.source)
                continue
            await self._clock.wait(self._wake, self.state.wait_s(now, monotonic))
            self._wake.clear()

    async def renew(self) -> str:
        """Try the grant that was lost, else the source in use; return `renewed`, `unchanged` or `failed: CODE`."""
        source = self.state.renewable(self._clock.now())
        return "unchanged" if source is None else await self._attempt_now(source.source)

    def _step(self, desired: DesiredSlot) -> bool:
        """Take one step; tell whether workers or those who wait for the first attempt would notice."""
        before = self.state
        self.state, events = slot_state.step(before, desired, self._clock.now(), self._clock.monotonic())
        self._say(events)
        return (before.content, before.tried) != (self.state.content, self.state.tried)

    async def _attempt_now(self, source: Source) -> str:
        """Join the attempt under way, or make one; a caller that gives up does not end it for the others."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._attempt_on(source))
        return await asyncio.shield(self._attempt)

    async def _attempt_on(self, source: Source) -> str:
        import random  # noqa: PLC0415  the daemon answers before it needs chance

        came = await self._fetched(source)
        jitter = random.uniform(-1, 1)  # noqa: S311  spreads load, hides nothing
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self.state, outcome, events = slot_state.after_attempt(
            self.state, source, came, now=now, monotonic=monotonic, jitter=jitter
        )
        self._count(outcome.partition(":")[0])
        self._say(events)
        self._look_and_publish()
        return outcome

    def _look_and_publish(self) -> None:
        if self.look():
            self._publish()

    async def _fetched(self, source: Source) -> Held | SourceFailure:
        """Return what `source` gives, or why it gives nothing. A defect is a failure too: it must not end the agent."""
        try:
            return await self._fetch(source)
        except CredagentError as error:
            return failure_from(error, self._clock.now())
        except Exception as error:  # noqa: BLE001  whatever a cloud's answer brings about; its text may quote it
            why = f"handling the answer failed ({type(error).__name__})"
            defect = InternalError("internal", why, hint="this is a defect of credagent: report it")
            return failure_from(defect, self._clock.now())

    def _say(self, events: Iterable[SlotEvent]) -> None:
        for event in events:
            say = log.info if event.quiet else log.warning
            say(event.name, slot=self.state.slot.value, **event.fields)
