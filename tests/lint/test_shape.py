"""Modules and functions stay short enough to be read at once, and nothing is written twice."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])

LONGEST_MODULE = 300  # lines
LONGEST_FUNCTION = 50  # lines

SYNONYMS = ("Manager", "Helper", "Util", "Utils", "Base")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_at_once(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_MODULE
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION] == []


def test_names_say_what_a_thing_is() -> None:
    classes = [
        node.name
        for path in (ROOT / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in classes if name.endswith(SYNONYMS) or name.startswith("Base")] == []


@pytest.mark.parametrize("folder", ["agent", "tests"])
def test_nothing_is_written_twice(folder: str) -> None:
    files = [str(path.relative_to(ROOT)) for path in MODULES if path.is_relative_to(ROOT / folder)]
    command = [sys.executable, "-m", "pylint", "--rcfile=pyproject.toml", "--score=n", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
