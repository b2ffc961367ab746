"""Imports point down, the worker's side stands alone, and pure rooms look at no clock."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agent" / "credagent"
WORKER = PACKAGE / "worker" / "credagent_worker.py"
OLDEST_PYTHON_OF_A_WORKER = (3, 9)  # as its docstring and its distribution promise

PURE = (
    "admission/denied_variables.py",
    "admission/rules.py",
    "bundle/contents.py",
    "credentials.py",
    "slots/allowed_targets.py",
    "slots/precedence.py",
    "slots/renewal_schedule.py",
    "worker_environment/formats.py",
    "worker_environment/handover_variables.py",
    "worker_environment/rendering.py",
    "worker_environment/vendor_documents.py",
)
CLOCKS = {"now", "utcnow", "today", "monotonic", "time_ns", "perf_counter"}


def test_the_contracts_on_imports_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_workers_side_needs_the_standard_library_only() -> None:
    imported = {name.partition(".")[0] for name in _imports(WORKER)}
    assert imported <= sys.stdlib_module_names


def test_the_workers_side_is_alone_in_its_folder() -> None:
    assert [path.name for path in WORKER.parent.iterdir() if path.name != "__pycache__"] == [WORKER.name]


def test_the_workers_side_is_read_by_the_oldest_python_that_is_promised() -> None:
    ast.parse(WORKER.read_text(), feature_version=OLDEST_PYTHON_OF_A_WORKER)


def test_pure_rules_are_told_what_time_it_is() -> None:
    asking = [name for name in PURE if not CLOCKS.isdisjoint(_attributes(PACKAGE / name))]
    assert asking == []


def _attributes(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or ".")
    return found
