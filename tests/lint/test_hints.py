"""An error that a person sees says what to do: whatever is raised has a hint."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "agent" / "credagent"
FAMILIES = ("UsageError", "Refused", "Unavailable", "OutputError", "PermissionRefused", "ConfigurationError")
WITHOUT = {
    "handover/unix/connection.py": "answers to programs that broke the protocol",
    "channels/stdin.py": "what the operating system said of a pipe that is gone",
    "admission/machine_key.py": "what the operating system said of the agent's own folder",
}


def bare(path: Path) -> Iterator[str]:
    """Yield where an error is made without a hint (`**fields` may hold one)."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    for call in calls:
        made = isinstance(call.func, ast.Name) and call.func.id in FAMILIES
        if made and not any(keyword.arg in ("hint", None) for keyword in call.keywords):
            yield f"{path.relative_to(PACKAGE)}:{call.lineno}"


def test_every_error_has_a_hint() -> None:
    found = [place for path in sorted(PACKAGE.rglob("*.py")) for place in bare(path)]
    assert [place for place in found if not place.startswith(tuple(WITHOUT))] == []
    assert all(any(place.startswith(exempt) for place in found) for exempt in WITHOUT), "an exemption nobody needs"
