"""A clock that stands still until a test moves it, and runs what falls due on the way."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

MOST_TURNS = 1_000  # of the loop: more than any chain of tasks in the agent needs
MOST_WAITS_PER_SECOND = 1.0  # of all controllers together; more is a hot loop
WAITS_AT_LEAST = 100  # allowed in however short a time


class FakeClock:
    """Satisfies `credagent.clock.Clock`."""

    def __init__(self, start: datetime) -> None:
        self._now, self._monotonic = start, 1000.0
        self._waiting: list[tuple[float, asyncio.Future[bool]]] = []
        self.waits = 0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait as the machine's clock does; the time is this clock's."""
        self.waits += 1
        if event.is_set():
            return True
        timer = asyncio.get_running_loop().create_future()
        self._waiting.append((self._monotonic + seconds, timer))
        event._waiters.append(timer)  # a task for each wait would triple the time
        try:
            await timer
        finally:
            event._waiters.remove(timer)
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Take time, as a cloud does that answers slowly."""
        await self.wait(asyncio.Event(), seconds)

    async def let_run(self) -> None:
        """Let every task go on until all of them wait."""
        ready: Any = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # there is no public way to ask
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0)
            if not ready:
                return
        raise AssertionError("a task that never waits")

    async def advance(self, seconds: float) -> None:
        """Let time pass on both clocks, and run what falls due, in its order. Fails on a hot loop."""
        end, before = self._monotonic + seconds, self.waits
        await self.let_run()
        while due := [deadline for deadline, timer in self._open() if deadline <= end]:
            self._pass(min(due))
            await self.let_run()
            assert self.waits - before <= WAITS_AT_LEAST + MOST_WAITS_PER_SECOND * seconds, "a hot loop"
        self._pass(end)
        await self.let_run()

    def step(self, seconds: float) -> None:
        """Step the wall clock alone: somebody set it, or the machine was suspended."""
        self._now += timedelta(seconds=seconds)

    def forget(self) -> None:
        """Drop the waits of a process that has ended."""
        self._waiting.clear()

    def _pass(self, until: float) -> None:
        self._now += timedelta(seconds=max(until - self._monotonic, 0.0))
        self._monotonic = max(until, self._monotonic)
        for deadline, timer in self._open():
            if deadline <= self._monotonic:
                timer.set_result(True)

    def _open(self) -> list[tuple[float, asyncio.Future[bool]]]:
        self._waiting = [(deadline, timer) for deadline, timer in self._waiting if not timer.done()]
        return self._waiting
