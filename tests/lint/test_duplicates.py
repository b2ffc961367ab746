"""Nothing is written twice."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)  # pylint compares every file with every other
@pytest.mark.parametrize("folder", ["agent", "tests"])
def test_nothing_is_written_twice(folder: str) -> None:
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / folder).rglob("*.py"))]
    command = [sys.executable, "-m", "pylint", "--rcfile=pyproject.toml", "--score=n", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
