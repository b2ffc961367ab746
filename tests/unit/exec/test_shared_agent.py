"""Which agent an `exec` has: none of its own while another holds the folder; callers wait only where one comes."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credagent.errors import Unavailable
from credagent.exec import shared_agent
from credagent.exec.embedded_agent import EmbeddedAgent, TakenOver
from credagent.exec.shared_agent import SharedAgent
from credagent.handover.listening_sockets import ListeningSockets
from credagent.handover.unix import socket_file
from credagent.handover.unix.agent_place import OWNER_IS_EXEC, lock_path
from credagent.system import file_lock

Live = Callable[[TakenOver], int]
Make = Callable[[Live], SharedAgent]


def live(_: TakenOver) -> int:
    signal.pause()
    return 0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "agent.sock")


@pytest.fixture
def make(path: str) -> Iterator[Make]:
    made: list[SharedAgent] = []

    def _make(live: Live) -> SharedAgent:
        made.append(SharedAgent(path, EmbeddedAgent(live)))
        return made[-1]

    yield _make
    for one in made:
        one.stop()


def test_nothing_is_started_while_another_holds_the_folder_and_says_nothing(path: str, make: Make) -> None:
    agent = make(live)
    held = file_lock.lock(lock_path(os.path.dirname(path)), note=b"run")
    assert held is not None
    for _ in range(50):
        assert agent.revive() is not None  # it looks again
        assert agent.pids() == frozenset()
    held.release()
    agent.revive()
    assert len(agent.pids()) == 1


def test_a_holder_that_never_answers_is_named(path: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_agent, "LONGEST_RACE_S", 0.0)
    agent = make(live)
    held = file_lock.lock(lock_path(os.path.dirname(path)))
    assert held is not None
    with held, pytest.raises(Unavailable) as caught:
        agent.subscription()
    assert caught.value.code == "already-running"


def test_the_agent_that_is_started_has_the_lock(path: str, make: Make) -> None:
    make(live).revive()
    lock = lock_path(os.path.dirname(path))
    assert file_lock.lock(lock) is None
    assert Path(lock).read_bytes() == OWNER_IS_EXEC


def test_callers_wait_for_the_next_agent_and_are_refused_where_it_does_not_come(path: str, make: Make) -> None:
    agent, port = make(lambda _: 78), socket.create_server(("127.0.0.1", 0))
    address = port.getsockname()
    held = file_lock.lock(lock_path(os.path.dirname(path)))
    assert held is not None
    with held, port, socket_file.bind(path).sock as listening:  # the agent of another
        agent.revive()
        connection, _ = listening.accept()
        with connection:
            ListeningSockets(endpoint=(port,)).send(connection)
            assert agent.revive() is None
    with socket.create_connection(address):
        agent.revive()
        agent.ended(*os.waitpid(next(iter(agent.pids())), 0))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
