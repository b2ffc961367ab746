"""What runs in the workers of the tests, and a preload of the user's own. Imported there: the standard library only."""

import ctypes
import os
import time
from typing import Any


def read(name: str = "DB") -> str | None:
    return os.environ.get(name)


def read_with_pid(name: str = "DB") -> tuple[str | None, int]:
    return os.environ.get(name), os.getpid()


def wait_for(value: str) -> tuple[int, float]:
    """Run until the value is there, as a task that began before it was."""
    pid, deadline = os.getpid(), time.monotonic() + 20
    while os.environ.get("DB") != value:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return pid, time.time()


def hold_the_gil(value: str, seconds: float) -> tuple[float, str | None]:
    """Let no other thread run for a while; return how long after that the value was seen."""
    released = time.monotonic() + seconds  # asked afterwards, the clock would wait for the GIL as well
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # unlike CDLL, it keeps the GIL
    while os.environ.get("DB") != value and time.monotonic() < released + 5:
        time.sleep(0.001)
    return time.monotonic() - released, os.environ.get("DB")


def worker_name(dask_worker: Any) -> Any:
    return dask_worker.name


def dask_setup(server: object) -> None:
    os.environ["OWN_PRELOAD"] = "loaded"


def own_preload() -> str | None:
    return os.environ.get("OWN_PRELOAD")
