"""Packs `dask_plugins` and what it needs as source, so that a worker needs neither credagent nor the same Python.

cloudpickle would carry byte code, which only the same minor version of Python runs. What is packed holds no secret:
the scheduler keeps it and hands it to every late worker.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from credagent.dask_cluster import credentials_page, dask_plugins
from credagent.worker import credagent_worker

WORKER_SIDE: dask_plugins.WorkerSide = credagent_worker  # here the type checker compares the two
PAGE: dask_plugins.PageModule = credentials_page  # likewise
PROTOCOL = 4  # what Python 3.8 and later read
_UNPACK = (
    "exec(compile(source, 'credagent_plugins.py', 'exec'), namespace) or "
    "namespace['unpack'](sources, namespace[make], settings)"
)


class _PluginSource:
    """Pickles to an expression that the standard library can evaluate, and to nothing else."""

    def __init__(self, make: str, modules: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self._make, self._modules, self._settings = make, modules, settings

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        names = {
            "sources": {name: source_of(module) for name, module in self._modules.items()},
            "source": source_of(dask_plugins),
            "namespace": {"__name__": "credagent_plugins"},
            "make": self._make,
            "settings": dict(self._settings),
        }
        return eval, (_UNPACK, names)


def for_workers(settings: Mapping[str, Any]) -> bytes:
    """Return the WorkerPlugin."""
    return pickle.dumps(_PluginSource("worker_plugin", {"credagent_worker": WORKER_SIDE}, settings), PROTOCOL)


def for_scheduler(settings: Mapping[str, Any]) -> bytes:
    """Return the SchedulerPlugin."""
    modules = {"credagent_worker": WORKER_SIDE, "credagent_page": PAGE}
    return pickle.dumps(_PluginSource("scheduler_plugin", modules, settings), PROTOCOL)


def source_of(module: Any) -> str:  # noqa: ANN401  a module, of a package or of a folder
    """Return the text of `module`."""
    return Path(module.__file__).read_text(encoding="utf-8")
