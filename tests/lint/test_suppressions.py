"""Where a rule of the linter is switched off, or a type is not checked, the line says why and points nowhere else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agent", "packaging", "tests")
SUPPRESSION = re.compile(r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore\b(?:\[[a-z, -]+\])?)")
ELSEWHERE = re.compile(r"as above|see above|as below|see below|as there\b")


def unexplained(line: str) -> bool:
    """Tell whether a line ends in a suppression without a reason, or with one that stands elsewhere."""
    found = list(SUPPRESSION.finditer(line))
    reason = line[found[-1].end() :].strip().lstrip("# ") if found else ""
    return bool(found) and (not reason or ELSEWHERE.match(reason) is not None)


def test_each_suppression_gives_its_own_reason() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    places = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if unexplained(line)
    ]
    assert places == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import grp  # noqa: PLC0415", True),
        ("import grp  # noqa: PLC0415  as above", True),
        ("import grp  # noqa: PLC0415  only where a group may write", False),
        ("return found  # type: ignore[no-any-return]", True),
        ("return found  # type: ignore[no-any-return]  # a made-up module holds it", False),
        ("x()  # type: ignore[misc]  # noqa: S101  of the document", False),
        ("no suppression", False),
    ],
)
def test_one_without_a_reason_is_found(line: str, *, found: bool) -> None:
    assert unexplained(line) is found
