"""How the worker's side gets into a Dask process by its environment alone. Credentials are not composed here."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = "credagent_worker"
_PACKAGE = os.path.abspath(f"{__file__}/../..")
PRELOADS = ("DASK_DISTRIBUTED__WORKER__PRELOAD", "DASK_DISTRIBUTED__SCHEDULER__PRELOAD")


def worker_path() -> str:
    """Return the folder that holds the worker's module and nothing else, for PYTHONPATH."""
    return os.path.join(_PACKAGE, "worker")


def preload_environment(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the variables to set so that Dask workers and schedulers below load the module from `folder`.

    What `environ` has is extended, never replaced, and extended once however often this is asked. A preload list in
    the user's own YAML is dropped by Dask as soon as the environment names one: it has to be named there too.
    """
    variables = {"PYTHONPATH": _with_folder(environ.get("PYTHONPATH", ""), folder)}
    for name in PRELOADS:
        present = _names(environ.get(name, ""))
        variables[name] = repr(present if MODULE in present else [*present, MODULE])
        if MODULE not in present:
            variables |= _with_arguments(f"{name}_ARGV", environ.get(f"{name}_ARGV", ""))
    return variables


def _with_folder(present: str, folder: str) -> str:
    # At the end: nothing of the user's is hidden by it.
    if folder in present.split(os.pathsep):
        return present
    return f"{present}{os.pathsep}{folder}" if present else folder


def _with_arguments(name: str, present: str) -> dict[str, str]:
    """Keep a list of argument lists, one for each preload, as long as the list of preloads: Dask refuses another."""
    found = _value(present)
    if isinstance(found, list | tuple) and found and not isinstance(found[0], str):
        return {name: repr([*found, []])}
    return {}


def _names(text: str) -> list[str]:
    found = _value(text)
    if isinstance(found, list | tuple):
        return [str(name) for name in found]
    return [str(found)] if found else []


def _value(text: str) -> object:
    """Read a value as Dask does: a Python literal, a word of YAML, or the text itself."""
    if not text or text.lower() in {"none", "null"}:
        return None
    import ast  # noqa: PLC0415  only where somebody has a list of their own

    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
