"""Values that are made anew at most once a second, so that whoever asks without end does not keep the agent busy."""

from collections.abc import Callable
from typing import Generic, TypeVar

FRESH_S = 1.0

T = TypeVar("T")


class ShortLivedCache(Generic[T]):
    """A value that is good for a second, or until it is forgotten."""

    def __init__(self, make: Callable[[], T], monotonic: Callable[[], float]) -> None:
        """Make the value when somebody asks."""
        self._make, self._monotonic = make, monotonic
        self._made: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return the value."""
        now = self._monotonic()
        if self._made is None or now - self._made[0] >= FRESH_S:
            self._made = (now, self._make())
        return self._made[1]

    def forget(self) -> None:
        """Make it anew at the next question: what it is made of has changed."""
        self._made = None
