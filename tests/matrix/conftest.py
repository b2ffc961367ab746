"""Puts the whole run into a network namespace of its own, and shows the tables when it is over."""

import os
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.matrix import network
from tests.matrix.results import REPORTS, SLIDES

_began = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Leave the machine's network before anything has a thread or a connection."""
    config.stash[_began] = time.time()
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        return  # runs no test itself, and each of its workers enters a namespace of its own
    try:
        network.enter()
    except OSError as error:
        raise pytest.UsageError(f"the matrix needs a network namespace of its own ({error}): run it as root") from error


def each(names: Iterable[str]) -> list[Any]:
    """Return parameters of a fixture that is made once for each, also where several processes share the tests."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables of this run, a cell that holds the machine's own identity in red."""
    for path in sorted(REPORTS.glob("*.md")):
        if path.stat().st_mtime < config.stash[_began]:
            continue
        terminalreporter.section(path.stem)
        for line in path.read_text().partition("\n\n")[0].splitlines():
            terminalreporter.write_line(line, red=SLIDES in line)
