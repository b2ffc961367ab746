"""Stands in for NVIDIA's management library on a machine without a GPU: one device, of which nothing can be asked.

What dask-cuda and distributed ask beyond what is here, they do without.
"""

from types import SimpleNamespace
from typing import NoReturn

MEMORY_BYTES = 1 << 30


class NVMLError(Exception):
    """What the library raises; each kind of it is this one."""


def nvmlInit() -> None:  # noqa: N802  NVIDIA's name
    """Begin."""


def nvmlDeviceGetCount() -> int:  # noqa: N802  NVIDIA's name
    """Return how many devices there are."""
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802  NVIDIA's name
    """Return what names a device."""
    return index


def nvmlDeviceGetMemoryInfo(_handle: int) -> SimpleNamespace:  # noqa: N802  NVIDIA's name
    """Return how much memory it has."""
    return SimpleNamespace(total=MEMORY_BYTES, used=0, free=MEMORY_BYTES)


def nvmlDeviceGetUtilizationRates(_handle: int) -> SimpleNamespace:  # noqa: N802  NVIDIA's name
    """Return how busy it is."""
    return SimpleNamespace(gpu=0, memory=0)


def nvmlDeviceGetName(handle: int) -> str:  # noqa: N802  NVIDIA's name
    """Return its make."""
    return f"device {handle}"


def nvmlDeviceGetUUID(handle: int) -> str:  # noqa: N802  NVIDIA's name
    """Return its name."""
    return f"GPU-{handle}"


def __getattr__(name: str) -> object:
    """Return kinds of errors, and functions that are not supported."""
    if name.startswith("NVMLError"):
        return NVMLError
    if name.startswith("nvml"):
        return _refuse
    raise AttributeError(name)


def _refuse(*_: object) -> NoReturn:
    raise NVMLError
