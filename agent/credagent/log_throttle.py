"""Tells what is worth a line of the log: nobody who asks without end, and nothing that fails all the time, fills it."""

import time
from collections.abc import Callable, Hashable

AGAIN_S = 60.0  # after which the same is said again
REMEMBERED = 64  # subjects; a machine with more of them at once hears of some of them twice


class LogThrottle:
    """Of what (a user, a kind of failure) something was said within the last minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet."""
        self._monotonic = monotonic
        self._until: dict[Hashable, float] = {}

    def is_news(self, subject: Hashable) -> bool:
        """Tell whether nothing was said of `subject` lately, and take it as said from now on."""
        now = self._monotonic()
        if self._until.get(subject, 0.0) > now:
            return False
        if len(self._until) >= REMEMBERED:
            self._until.clear()
        self._until[subject] = now + AGAIN_S
        return True
