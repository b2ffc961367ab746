"""Puts a client preload into the user's own Dask configuration, and takes it out again. Nothing runs from here.

Dask runs the preload in whatever process makes a client, and hands configuration on (to SSHCluster's and
dask-cloudprovider's workers), so it must be harmless anywhere. The name of a module that is not installed there would
keep a client from starting; so the preload is a line that looks for the module first. Dask logs such a line, and the
file into which it writes it, at level INFO; so the two loggers that do are set to WARNING, for all that they say. Dask
refuses to start where that stands beside a `logging-file-config`: there it is left out, and Dask's lines are seen.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping

from credagent.errors import ConfigurationError, OutputError
from credagent.system.file_errors import output_error
from credagent.system.file_reading import read_bounded
from credagent.system.file_writing import write_private

FILE_NAME = "credagent.yaml"
MARK = "# Written by `credagent forward --install`"
KEY = "preload"
MAX_BYTES = 1024 * 1024  # of a configuration file somebody wrote by hand

PRELOAD = (
    'import importlib.util as found; found.find_spec("credagent") and '
    'exec("from credagent.forwarder.client_preload import dask_setup, dask_teardown")'
)
QUIET = {"distributed.preloading": "warning", "distributed.utils": "warning"}
HEAD = f"""\
{MARK}; `credagent forward --uninstall` removes it.
# Each Dask client of yours that connects to a cluster of other machines then forwards your identity there,
# to the agents that it finds; never from inside a worker. `credagent.forward` has the arguments of forward_credentials.
"""


def folder(environ: Mapping[str, str]) -> str:
    """Return where Dask reads the user's own configuration."""
    return environ.get("DASK_CONFIG") or f"{environ.get('HOME') or os.path.expanduser('~')}/.config/dask"


def install(environ: Mapping[str, str], options: Mapping[str, object]) -> str:
    """Write the preload and return its path. `options` are those of `forward_credentials`, none of them secret.

    Raises ConfigurationError where another file names client preloads: Dask would take one list and drop the other.
    """
    where = folder(environ)
    path = f"{where}/{FILE_NAME}"
    _demand_ours(path)
    others = list(_documents(environ))
    rival = next((name for name, one in others if _section(_section(one, "distributed"), "client").get(KEY)), "")
    if rival:
        hint = "move its entries into a module of yours that credagent's preload can stand beside, or forward by hand"
        raise ConfigurationError("preload-taken", "names client preloads already", what=rival, hint=hint)
    os.makedirs(where, exist_ok=True)
    document: dict[str, object] = {
        "distributed": {"client": {KEY: [PRELOAD]}},
        "credagent": {"forward": dict(options)},
    }
    if not any("logging-file-config" in {**one, **_section(one, "distributed")} for _, one in others):
        document["logging"] = QUIET
    write_private(path, f"{HEAD}{json.dumps(document, indent=2)}\n".encode())  # YAML includes JSON
    return path


def uninstall(environ: Mapping[str, str]) -> str | None:
    """Remove the preload and return its path, None where there is none. Raises ConfigurationError, OutputError."""
    path = f"{folder(environ)}/{FILE_NAME}"
    if not os.path.lexists(path):
        return None
    _demand_ours(path)
    try:
        os.unlink(path)
    except OSError as error:
        raise output_error(path, error) from error
    return path


def installed(environ: Mapping[str, str]) -> bool:
    """Tell whether the user of this process has asked for it on this machine."""
    try:
        _demand_ours(f"{folder(environ)}/{FILE_NAME}", missing=False)
    except (ConfigurationError, OutputError):
        return False
    return True


def _demand_ours(path: str, *, missing: bool = True) -> None:
    data = read_bounded(path, MAX_BYTES)
    if data is None and missing:
        return
    if data is None or not data.startswith(MARK.encode()):
        hint = "move it away: credagent changes only what it wrote itself"
        raise ConfigurationError("not-ours", "was not written by credagent", what=path, hint=hint)


def _documents(environ: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the other files that Dask reads, the user's and the machine's, and what is in them as far as it is YAML."""
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  Dask brings it
    except ImportError:
        return
    for where in (folder(environ), environ.get("DASK_ROOT_CONFIG", "/etc/dask")):
        for name in sorted(os.listdir(where)) if os.path.isdir(where) else []:
            if name == FILE_NAME or not name.endswith((".yaml", ".yml", ".json")):
                continue
            with contextlib.suppress(yaml.YAMLError, UnicodeError):
                yield f"{where}/{name}", _mapping(yaml.safe_load(read_bounded(f"{where}/{name}", MAX_BYTES) or b""))


def _section(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    return _mapping(document.get(name))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
