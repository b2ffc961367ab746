"""Puts the whole run into a network namespace of its own, and shows the tables when it is over."""

import pytest

from tests.matrix import network

TABLES: dict[str, str] = {}


def pytest_configure() -> None:
    """Leave the machine's network before anything has a thread or a connection."""
    try:
        network.enter()
    except OSError as error:
        raise pytest.UsageError(f"the matrix needs a network namespace of its own ({error}): run it as root") from error


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables."""
    for title, text in TABLES.items():
        terminalreporter.section(title)
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def tables() -> dict[str, str]:
    """Where a test leaves its table."""
    return TABLES
