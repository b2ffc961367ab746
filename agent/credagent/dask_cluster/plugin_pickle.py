"""Packs `dask_plugins` and the worker's side as source, so that a worker needs neither credagent nor the same Python.

cloudpickle would carry byte code, which only the same minor version of Python runs. What is packed holds no secret:
the scheduler keeps it and hands it to every late worker.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from credagent.dask_cluster import dask_plugins
from credagent.worker import credagent_worker

WORKER_SIDE: dask_plugins.WorkerSide = credagent_worker  # here the type checker compares the two
PROTOCOL = 4  # what Python 3.8 and later read
_UNPACK = (
    "exec(compile(source, 'credagent_plugins.py', 'exec'), namespace) or "
    "namespace['unpack'](side_source, namespace[make], settings)"
)


class _PluginSource:
    """Pickles to an expression that the standard library can evaluate, and to nothing else."""

    def __init__(self, make: str, settings: Mapping[str, Any]) -> None:
        self._make = make
        self._settings = settings

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        names = {
            "side_source": source_of(WORKER_SIDE),
            "source": source_of(dask_plugins),
            "namespace": {"__name__": "credagent_plugins"},
            "make": self._make,
            "settings": dict(self._settings),
        }
        return eval, (_UNPACK, names)


def for_workers(settings: Mapping[str, Any]) -> bytes:
    """Return the WorkerPlugin."""
    return pickle.dumps(_PluginSource("worker_plugin", settings), PROTOCOL)


def for_scheduler(settings: Mapping[str, Any]) -> bytes:
    """Return the SchedulerPlugin."""
    return pickle.dumps(_PluginSource("scheduler_plugin", settings), PROTOCOL)


def source_of(module: Any) -> str:  # noqa: ANN401  a module, of a package or of a folder
    """Return the text of `module`."""
    return Path(module.__file__).read_text(encoding="utf-8")
