"""`.reveal()` is called where a secret leaves the program, and nowhere else: each place is here with its reason."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "agent" / "credagent"

ALLOWED: dict[str, str] = {}


def test_secrets_are_revealed_in_the_listed_modules_only() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if _reveals(path)}
    assert found == set(ALLOWED), "add the module with its reason, or find another way"


def _reveals(path: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Attribute) and called.attr == "reveal" for called in calls)
