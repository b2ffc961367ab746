"""The releases of distributed and the Pythons that are tried: installed by pip into build/compatibility, once each."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from tests.interpreters import pythons

FOLDER = Path(__file__).parents[3] / "build" / "compatibility"
TODAY, A_YEAR_AGO, TWO_YEARS_AGO = "2026.8.0", "2025.11.0", "2024.11.2"
TRIED = (
    (TODAY, 10),
    (TODAY, 11),
    (TODAY, 13),
    (TODAY, 14),
    (A_YEAR_AGO, 12),
    (TWO_YEARS_AGO, 11),
    (TODAY, 12),
)
WITH = ("numpy", "bokeh>=3.1")  # P2P moves arrays; Bokeh is what makes Dask's other pages


class Environment(Struct, frozen=True):
    """One release of distributed under one Python. `python` runs it, "" where this machine has no such Python."""

    distributed: str
    minor: int
    python: str

    @property
    def name(self) -> str:
        """Return its name for people."""
        return f"{self.distributed}, Python 3.{self.minor}"


def environments(given: Mapping[int, str], only: str = "") -> Iterator[Environment]:
    """Yield all that are tried, or those whose name has `only` in it, installed.

    `given`: by minor version, a Python that has today's Dask already.
    """
    for distributed, minor in TRIED:
        if only not in Environment(distributed, minor, "").name:
            continue
        if distributed == TODAY and minor in given:
            yield Environment(distributed, minor, given[minor])
            continue
        found = sorted(pythons(minor).items())
        yield Environment(distributed, minor, _installed(found[-1][1], distributed, minor) if found else "")


def _installed(python: str, distributed: str, minor: int) -> str:
    folder = FOLDER / f"distributed-{distributed}-python-3.{minor}"
    own = str(folder / "bin" / "python")
    if not (folder / ".complete").exists():
        print(f"installing distributed {distributed} for Python 3.{minor}", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"distributed=={distributed}", f"dask=={distributed}", *WITH], check=True)
        (folder / ".complete").touch()
    return own
