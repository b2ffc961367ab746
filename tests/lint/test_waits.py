"""What a test waits for has time on a busy machine, too: every wait of a second or more is `scaled`."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
FOLDERS = ("unit", "property", "scenario", "integration", "lint", "simulator")
WAITS = {"timeout", "timeout_s", "within_s"}
LONG_S = 1.0  # what is shorter is meant to run out


def test_no_wait_is_bare() -> None:
    files = [path for folder in FOLDERS for path in sorted((TESTS / folder).rglob("*.py"))]
    assert [place for path in files for place in bare(path)] == []


def test_a_bare_wait_is_found() -> None:
    assert list(calls(ast.parse("wait(timeout=10); wait(timeout=scaled(10)); wait(timeout=0.1)"))) == [1]


def bare(path: Path) -> Iterator[str]:
    """Yield each place in a file that waits for a number of seconds that nothing lengthens."""
    for line in calls(ast.parse(path.read_text())):
        yield f"{path.relative_to(TESTS)}:{line}"


def calls(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each call with such a wait."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in WAITS and isinstance(node.value, ast.Constant):
            seconds = node.value.value
            if isinstance(seconds, int | float) and seconds >= LONG_S:
                yield node.value.lineno
