"""What metadata services do: the same credential for everybody who asks, until it has little left."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .ledger import Issued


class Held:
    """Credentials by a key of the caller's choice (a role, a set of scopes)."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._held: dict[str, Issued] = {}

    def get(self, key: str, issue: Callable[[], Issued], *, renew_before_s: float) -> Issued:
        """The one that is held, or a new one where it has less left than `renew_before_s` or than half of its life."""
        with self._lock:
            held = self._held.get(key)
            if held is None or self._due(held, renew_before_s):
                held = self._held[key] = issue()
            return held

    def _due(self, held: Issued, renew_before_s: float) -> bool:
        if held.expires_at is None:
            return False
        margin_s = min(renew_before_s, (held.expires_at - held.issued_at) / 2)
        return held.expires_at - self._now() < margin_s

    def forget(self) -> None:
        with self._lock:
            self._held.clear()
