"""The Pythons of this machine, and the tests that run under each: unit, scenario and property tests, from 3.11 on.

`make test` runs everything under one Python. asyncio differs from release to release, and so do Debian's own Pythons
from python.org's: an agent that is installed there is tested there. Another patch of the release that runs everything
has the stories of agent and forwarder alone, where such differences were met.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.patience import FACTOR

ROOT = Path(__file__).parents[1]
OLDEST, NEWEST = 11, 20
FOLDERS = ("tests/unit", "tests/scenario", "tests/property")
ABOUT_ASYNCIO = ("forwarder", "dask_cluster", "daemon", "handover", "exec")
STORIES = ("tests/scenario", "tests/property", *(f"tests/unit/{one}" for one in ABOUT_ASYNCIO))
INSTALL_S = 900
BEHIND = ("nice", "-n", "10")  # a tenth of what the main run gets where both want a processor
PATIENCE = 5

Version = tuple[int, ...]


def pythons(minor: int) -> dict[Version, str]:
    """Return the interpreters 3.`minor` of this machine that start, by their full version."""
    found: dict[Version, str] = {}
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # pyenv's place; HOME is the test run's own
    paths = [f"/usr/bin/python3.{minor}", shutil.which(f"python3.{minor}")]
    paths += map(str, sorted(home.glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}")))
    for path in filter(None, paths):
        asked = [path, "-I", "-c", "import sys; print(*sys.version_info[:3])"]
        try:
            said = subprocess.run(asked, check=False, capture_output=True, text=True).stdout.split()
        except OSError:
            continue
        if said[:2] == ["3", str(minor)]:
            found.setdefault(tuple(map(int, said)), path)
    return found


def others() -> Iterator[tuple[str, str]]:
    """Yield version and path of each Python that the agent supports, but the one that runs this."""
    for minor in range(OLDEST, NEWEST):
        for version, path in sorted(pythons(minor).items()):
            if version != tuple(sys.version_info[:3]):
                yield ".".join(map(str, version)), path


def run_under(version: str, python: str) -> tuple[int, str]:
    """Run the tests under one Python; return the exit status and what was said. 0 and a sentence where it cannot.

    They leave the processors to whatever else runs, and have the patience for that.
    """
    folder = ROOT / "build" / f"python-{version}"
    problem = _installed(folder, python)
    if problem:
        return 0, f"skipped: {problem}"
    folders = STORIES if version.startswith(f"3.{sys.version_info.minor}.") else FOLDERS
    command = [*BEHIND, str(folder / "bin" / "python"), "-m", "pytest", "--color=no", "-q", *folders]
    environ = {**os.environ, "CREDAGENT_TEST_PATIENCE": str(PATIENCE * FACTOR)}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def _installed(folder: Path, python: str) -> str:
    """Make an environment with what the tests need; return what stands in the way, "" where nothing does."""
    stamp = folder / ".installed"
    if stamp.exists() and stamp.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return ""
    # Debian's Python has no ensurepip; the pip of this one installs for another.
    make = [python, "-m", "venv", "--without-pip", "--clear", str(folder)]
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    install += ["--disable-pip-version-check", "--only-binary", ":all:", "--no-binary", "credagent"]
    for command in (make, [*install, "--editable", ".[interpreters]"]):
        try:
            done = subprocess.run(
                [*BEHIND, *command], cwd=ROOT, check=False, capture_output=True, text=True, timeout=INSTALL_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command[0]} did not end in time or start ({type(error).__name__})"
        if done.returncode != 0:
            return f"its packages cannot be installed: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
    stamp.touch()
    return ""
