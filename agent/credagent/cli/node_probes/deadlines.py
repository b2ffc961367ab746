"""Runs probes beside each other, and goes on without those that are late: a node that hangs is the one to be judged."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


def within(seconds: float, probes: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what the probes found, by name, without those that are late or failed.

    Late ones go on in threads that do not keep the process from ending. A probe that cannot see what it looks for (no
    right, no such file, another kernel) has found nothing.
    """
    found: dict[str, Any] = {}

    def run(name: str, probe: Callable[[], Any]) -> None:
        try:
            found[name] = probe()
        except (OSError, ValueError, KeyError, IndexError):
            return

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in probes.items()]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return dict(found)
