"""What the demo says: a readable account, a progress line while it waits, and whether everything was observed."""

import shutil
import sys
import time
from collections.abc import Callable


class Observed(Exception):
    """Something that the demo promises was not observed."""


class Account:
    """Prints numbered steps, facts below them, and a line that moves while something is waited for."""

    def __init__(self) -> None:
        """Begin the clock."""
        self._began = time.monotonic()
        self._steps = 0
        self._moving = sys.stdout.isatty()

    @property
    def seconds(self) -> float:
        """How long the demo has been running."""
        return time.monotonic() - self._began

    def step(self, title: str) -> None:
        """Open a step."""
        self._steps += 1
        print(f"\n[{self.seconds:5.1f} s] {self._steps}. {title}", flush=True)

    def fact(self, text: str) -> None:
        """State what was seen."""
        print(f"           {text}", flush=True)

    def require(self, condition: object, text: str) -> None:
        """State a fact that must hold, or end the demo."""
        if not condition:
            raise Observed(text)
        self.fact(f"✓ {text}")

    def wait(self, what: str, seen: Callable[[], object], timeout_s: float) -> None:
        """Wait until `seen`, with a progress line, or end the demo."""
        until = time.monotonic() + timeout_s
        while not seen():
            left = until - time.monotonic()
            if left <= 0:
                raise Observed(f"waited {timeout_s:.0f} s in vain: {what}")
            self.progress(f"waiting until {what} ({left:.0f} s left)")
            time.sleep(0.1)
        self.progress("")

    def progress(self, text: str) -> None:
        """Show a passing line, cut where the terminal ends; where nobody watches (a log file), nothing."""
        if self._moving:
            line = f"           {text}"[: shutil.get_terminal_size().columns - 1]
            print(f"\r\033[K{line}" if text else "\r\033[K", end="", flush=True)
