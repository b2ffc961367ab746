"""Says on the helper's pipe what its time goes into: its own work, or waiting for a service. Runs in the helper.

The process that waits (`helper_call`) counts the two apart: an interpreter that starts slowly says nothing about a
service. The marks are lines that precede the reply; `helper_progress` reads them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

READY = b"\n"
"""No other process of this user can look into the helper any more: the request may come."""
ASKING = b"asking\n"
"""From here on the time is a service's."""
PREPARING = b"preparing\n"
"""From here on the time is the helper's own: a module is imported, a client is made."""

_PIPE: ContextVar[int | None] = ContextVar("progress_pipe", default=None)
_NOW: ContextVar[bytes] = ContextVar("progress_now", default=PREPARING)


def report_to(pipe: int) -> None:
    """Write marks to the descriptor `pipe` from now on, in this thread."""
    _PIPE.set(pipe)


@contextmanager
def asking() -> Iterator[None]:
    """Count the time within as a service's."""
    with _marked(ASKING):
        yield


@contextmanager
def preparing() -> Iterator[None]:
    """Count the time within as the helper's own, also where it is spent between two requests."""
    with _marked(PREPARING):
        yield


@contextmanager
def _marked(mark: bytes) -> Iterator[None]:
    before = _NOW.get()
    _say(mark)
    try:
        yield
    finally:
        _say(before)


def _say(mark: bytes) -> None:
    pipe = _PIPE.get()
    if pipe is None or mark == _NOW.get():
        return
    _NOW.set(mark)
    os.write(pipe, mark)
