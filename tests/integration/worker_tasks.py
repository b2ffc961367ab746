"""What runs in the workers of the tests, and a preload of the user's own. Imported there: the standard library only."""

import ctypes
import os
import time
from typing import Any


def read(name: str = "DB") -> str | None:
    return os.environ.get(name)


def read_with_pid(name: str = "DB") -> tuple[str | None, int]:
    return os.environ.get(name), os.getpid()


def wait_for(value: str) -> int:
    """Run until the value is there, as a task that began before it was; return the process."""
    while os.environ.get("DB") != value:
        time.sleep(0.002)
    return os.getpid()


def executing(dask_worker: Any) -> int:
    return int(dask_worker.state.executing_count)


def hold_the_gil(value: str, seconds: float, held: str) -> str | None:
    """Let no other thread run for a while, once `held` exists; return the value that came meanwhile."""
    with open(held, "w"):
        pass
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # unlike CDLL, it keeps the GIL
    while os.environ.get("DB") != value:
        time.sleep(0.001)
    return os.environ.get("DB")


def worker_name(dask_worker: Any) -> Any:
    return dask_worker.name


def dask_setup(server: object) -> None:
    os.environ["OWN_PRELOAD"] = "loaded"


def own_preload() -> str | None:
    return os.environ.get("OWN_PRELOAD")
