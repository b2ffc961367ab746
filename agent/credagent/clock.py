"""The clocks, as a Protocol, so that a test can step them. Expiry is judged by `now`, waits are `monotonic`."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """What the agent knows of time."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps (it stops while a virtual machine is suspended)."""
        ...

    async def wait(self, event: "asyncio.Event", seconds: float) -> bool:
        """Wait until `event` is set (True) or `seconds` have passed (False)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until `seconds` have passed."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return time.monotonic()

    async def wait(self, event: "asyncio.Event", seconds: float) -> bool:
        """Wait until `event` is set (True) or `seconds` have passed (False)."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait until `seconds` have passed."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        await asyncio.sleep(seconds)
