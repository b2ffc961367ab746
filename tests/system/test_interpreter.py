"""The Python of the packages, and the newest one that Debian has, run the stories: asyncio differs between releases."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.interpreters import STORIES
from tests.patience import FACTOR
from tests.system import images

PYTEST = ("-B", "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", *STORIES)
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")


@pytest.mark.timeout(1800)
def test_the_stories_of_agent_and_forwarder_pass_under_the_python_of_the_packages(tmp_path: Path) -> None:
    python = with_libraries(tmp_path / "python")
    done = subprocess.run([str(python), *PYTEST], cwd=images.ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.timeout(1800)
def test_they_pass_with_the_wheel_under_the_newest_python_of_debian(tmp_path: Path) -> None:
    root = images.with_newest_python()
    (python,) = (root / "usr/bin").glob("python3.[0-9]*")
    version, libraries = python.name.removeprefix("python"), tmp_path / "libraries"
    wheel = str(images.built()["wheel"])
    subprocess.run([*PIP, "--target", libraries, "--python-version", version, wheel, *needed()], check=True)
    inside = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--as-pid2"]
    inside += [f"--directory={root}", f"--overlay={images.ROOT}::/tests", "--chdir=/tests"]
    inside += [f"--bind={libraries}:/usr/local/lib/{python.name}/dist-packages"]
    inside += [f"--setenv=CREDAGENT_TEST_PATIENCE={FACTOR:g}"]
    done = subprocess.run([*inside, f"/usr/bin/{python.name}", *PYTEST], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def with_libraries(folder: Path) -> Path:
    """Return a copy of the packages' interpreter that has what the tests need; it has neither pip nor venv itself."""
    images.built()
    shutil.copytree(images.ROOT / "build" / "interpreter" / "plain", folder, symlinks=True)
    python = folder / "bin" / "python3"
    (library,) = (folder / "lib").glob("python3.*")
    place = library / "dist-packages"  # as Debian's site.py has it
    version = library.name.removeprefix("python")
    subprocess.run([*PIP, "--target", place, "--python-version", version, *needed()], check=True)
    (place / "credagent.pth").write_text(f"{images.ROOT / 'agent'}{os.linesep}")
    return python


def needed() -> list[str]:
    """Return what the package and its tests depend on."""
    project = tomllib.loads((images.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["demo"], *extras["interpreters"]]
    return [one for one in listed if not one.startswith("credagent[")]
