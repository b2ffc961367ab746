"""The command `status`: its exit status, what it writes to a pipe and to a terminal, and how it is watched."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.patience import scaled
from tests.standin import Running, StandIn
from tests.unit.cli.conftest import Command
from tests.unit.cli.status_documents import ANA, bundle, refusal, slot, status

HELD = slot("bundle", principal=ANA, expires_at="2026-11-30T21:53:03Z")


class Agent(StandIn):
    """Says of itself what a test wants it to."""

    said: Mapping[str, object] = status(aws=HELD)

    async def status(self) -> Mapping[str, object]:
        return self.said


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    os.environ["CREDAGENT_SOCKET"] = path = str(tmp_path / "agent.sock")
    agent = Agent()
    with Running(path, agent):
        yield agent


def test_what_workers_get_decides_the_exit_status(agent: Agent, command: Command) -> None:
    assert command("status") == 0
    agent.said = status(bundle=bundle(None, refused=[refusal("expired")]))
    assert command("status") == command("status", "--json") == command("status", "aws") == 1


def test_a_pipe_gets_whole_lines_without_colour(
    agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.said = status(aws={**HELD, "principal": "x" * 300})
    command("status")
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert f"{'x' * 300}\n" in said


@pytest.mark.usefixtures("agent")
def test_the_document_is_the_agents_without_what_is_the_sockets(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("status", "--json")
    assert json.loads(capsys.readouterr().out) == Agent.said


@pytest.mark.usefixtures("agent")
def test_one_slot_is_explained(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command("status", "aws")
    said = capsys.readouterr().out
    assert "because the bundle in force grants it" in said
    assert "google" not in said


@pytest.mark.parametrize(("variables", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
@pytest.mark.usefixtures("agent")
def test_a_terminal_gets_colour_unless_it_is_asked_not_to(variables: dict[str, str], *, colour: bool) -> None:
    shown = Terminal("status", **variables).until("private")
    assert ("\x1b[1;32mready" in shown) is colour


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_watched_in_place_with_a_clock_and_leaves_the_terminal_as_it_was(agent: Agent, number: int) -> None:
    terminal = Terminal("status", "--watch")
    assert " UTC\r\n" in terminal.until("private")
    agent.said = status("unavailable", aws=slot(required=True))
    assert "\x1b[H" in terminal.until("aws is required and holds nothing")
    terminal.process.send_signal(number)
    assert terminal.until("\x1b[?1049l").endswith("\x1b[?25h\x1b[?1049l")
    assert terminal.process.wait() == 128 + number


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, *words: str, **variables: str) -> None:
        """Start it."""
        self._shown, screen = pty.openpty()
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "credagent", *words],
            env=environ,
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)

    def until(self, text: str) -> str:
        """Return what is shown up to `text`."""
        shown, deadline = "", time.monotonic() + scaled(20)
        while text not in shown:
            ready, _, _ = select.select([self._shown], [], [], deadline - time.monotonic())
            assert ready, shown
            shown += os.read(self._shown, 65_536).decode()
        return shown
