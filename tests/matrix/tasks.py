"""What the workers of the matrix are told to do: make an object, read with it, and say how that ended."""

import concurrent.futures
import os
import time
from typing import Any

from tests.matrix.programs import PROGRAMS
from tests.matrix.reading import ROWS

OK, HANGS = "", "hangs"
NEW_OBJECT_S = 20.0  # a client that is still trying after this is said to hang
PROGRAM_EVERY_S = 5.0  # starting a program for each read keeps a core busy for a second
_kept: dict[str, Any] = {}


def first_use(row: str) -> str:
    """Make the object that is kept, and read with it."""
    try:
        make, read = ROWS[row]
        _kept[row] = make()
        read(_kept[row])
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def new_object(row: str) -> str:
    """Make another object in the same process, and read with it."""
    try:
        make, read = ROWS[row]
        read(make())
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def read_again(row: str) -> str:
    """Read with the object that was kept."""
    try:
        ROWS[row][1](_kept[row])
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def keep_reading(row: str, seconds: float, every_s: float) -> list[str]:
    """Read with the object that was kept, again and again; return how each reading ended."""
    ends, outcomes = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        outcomes.append(read_again(row))
        time.sleep(max(every_s, PROGRAM_EVERY_S) if row in PROGRAMS else every_s)
    return outcomes


def while_away(row: str, seconds: float) -> tuple[list[str], str]:
    """Read for a while with the object that was kept, and once with a new one; return how all that ended."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    anew = pool.submit(new_object, row)
    outcomes = keep_reading(row, seconds, 5.0)
    try:
        new = anew.result(NEW_OBJECT_S)
    except TimeoutError:
        new = HANGS
    pool.shutdown(wait=False)
    return outcomes, new


def process() -> int:
    """Return which process this is."""
    return os.getpid()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
