"""The Python of the packages runs the stories of agent and forwarder: asyncio differs between releases and patches."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.system import images

FOLDERS = ("scenario", "property", "unit/forwarder", "unit/dask_cluster", "unit/daemon", "unit/handover", "unit/exec")


@pytest.mark.timeout(1800)
def test_the_stories_of_agent_and_forwarder_pass_under_the_python_of_the_packages(tmp_path: Path) -> None:
    python = with_libraries(tmp_path / "python")
    command = [str(python), "-B", "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"]
    command += [f"tests/{folder}" for folder in FOLDERS]
    done = subprocess.run(command, cwd=images.ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]


def with_libraries(folder: Path) -> Path:
    """Return a copy of the packages' interpreter that has what the tests need; it has neither pip nor venv itself."""
    images.built()
    shutil.copytree(images.ROOT / "build" / "interpreter" / "plain", folder, symlinks=True)
    python = folder / "bin" / "python3"
    (library,) = (folder / "lib").glob("python3.*")
    place = library / "dist-packages"  # as Debian's site.py has it
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(place)]
    install += ["--python-version", library.name.removeprefix("python"), "--only-binary", ":all:", *needed()]
    subprocess.run(install, check=True)
    (place / "credagent.pth").write_text(f"{images.ROOT / 'agent'}{os.linesep}")
    return python


def needed() -> list[str]:
    """Return what the package and its tests depend on."""
    project = tomllib.loads((images.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["demo"], *extras["interpreters"]]
    return [one for one in listed if not one.startswith("credagent[")]
