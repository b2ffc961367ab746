"""An agent that a test commands, and an end for every session that a test begins."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from credagent.worker import credagent_worker
from tests.standin import Running, StandIn


@pytest.fixture(autouse=True)
def _sessions_ended() -> Iterator[None]:
    yield
    process = credagent_worker._process()
    if process.session is not None:
        process.session.users = 1
        process.session.stop()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return where the agent will listen; workers look there."""
    os.environ["CREDAGENT_SOCKET"] = found = str(tmp_path / "agent.sock")
    return found


@pytest.fixture
def agent(path: str) -> Iterator[Running]:
    """Return an agent that hands nothing out yet."""
    with Running(path, StandIn()) as running:
        yield running
