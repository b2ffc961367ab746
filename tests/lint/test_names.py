"""Names mean one thing, and documents name what exists."""

import ast
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = frozenset(
    subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
)
FOLDERS = frozenset(str(parent) for file in FILES for parent in Path(file).parents)
OF_THE_PAST = frozenset({"CHANGELOG.md"})
FILE_KINDS = ("py", "md", "toml", "service", "socket", "lock")

ELSEWHERE = frozenset(
    {
        "ADR-NN-title.md",  # how a decision record is named
        "build/bench.json",  # what the bench makes
        "dist",  # what the build makes
        "lab-key/recipient.key",  # part of an example
        "lib/python3.13/code_archive.bin",  # of the packages' tree
        "roles/storage.objectViewer",  # of the clouds
        "security-credentials",  # a path of instance metadata
        "runtime_dir/token",  # of a machine with an agent
        "runtime_dir/worker.env",
        "state_dir/recipient.key",
        "text/x-credagent-bundle",
        "socket",  # a channel
    }
)
"""What documents name and this repository does not have."""

pytestmark = pytest.mark.skipif(not FILES, reason="not a checkout of git: nothing says which files there are")


def test_no_two_classes_of_the_agent_have_one_name() -> None:
    names = Counter(
        node.name
        for module in sorted((ROOT / "agent").rglob("*.py"))
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_documents_name_only_files_and_folders_that_exist() -> None:
    documents = [file for file in sorted(FILES) if file.endswith(".md") and file not in OF_THE_PAST]
    missing = [(one, name) for one in documents for name in _named((ROOT / one).read_text()) if not _exists(name, one)]
    assert missing == []


def test_every_package_says_in_its_docstring_what_is_in_it() -> None:
    for package in sorted((ROOT / "agent" / "credagent").glob("*/**/__init__.py")):
        parts = {path.stem for path in package.parent.glob("*.py") if not path.stem.startswith("__")}
        parts |= {room.parent.name for room in package.parent.glob("*/__init__.py")}
        index = set(re.findall(r"\w+", ast.get_docstring(ast.parse(package.read_text())) or ""))
        assert parts - index == set(), package


def _named(text: str) -> set[str]:
    """Return what looks like a file or folder of this repository: in backticks, or the target of a link."""
    quoted = set(re.findall(r"`([A-Za-z_][\w./-]*)`", text))
    linked = {name for name in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in name}
    paths = {name for name in quoted if "/" in name and "." not in name.partition("/")[0]}  # not a host, not a label
    return linked | paths | {name for name in quoted if name.rpartition(".")[2] in FILE_KINDS}


def _exists(name: str, document: str) -> bool:
    """Tell whether a name leads somewhere from the document, or is the end of a path of this repository.

    A module that is named without a folder is one of the document's own folder: other rooms have modules of that name.
    """
    wanted = os.path.normpath(name)
    room = os.path.dirname(document) if "/" not in wanted and wanted.endswith(".py") else ""
    beside = os.path.normpath(f"{os.path.dirname(document)}/{wanted}").removeprefix("./")
    places = {wanted, f"{wanted}.py"}
    return (
        wanted in ELSEWHERE
        or beside in FILES | FOLDERS
        or any(
            path.startswith(room) and (path in places or path.endswith(tuple(f"/{place}" for place in places)))
            for path in FILES | FOLDERS
        )
    )
