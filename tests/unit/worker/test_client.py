"""The worker's side as a client: one line there, one line back, and nothing is waited for that does not come."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from credagent.worker import credagent_worker
from credagent.worker.credagent_worker import AgentAbsent, AgentRefused, ask, socket_paths
from tests.standin import Running, StandIn


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "agent.sock")


@pytest.fixture
def agent(path: str) -> Iterator[Running]:
    with Running(path, StandIn(A="1")) as running:
        yield running


def test_an_answer_is_a_document(agent: Running) -> None:
    assert ask({"op": "set"}, agent.path)["environment"] == {"A": "1"}


def test_a_large_answer_arrives_whole(agent: Running) -> None:
    agent.replace({"A": "x" * 500_000})
    assert len(ask({"op": "set"}, agent.path)["environment"]["A"]) == 500_000


def test_a_refusal_has_its_code_and_hint(agent: Running) -> None:
    with pytest.raises(AgentRefused) as caught:
        ask({"op": "credential-process"}, agent.path)
    assert (caught.value.code, caught.value.hint) == ("no-credentials", "credagent status says why")


def test_the_reason_of_a_refusal_is_found_though_the_agent_closed_before_it_read(
    agent: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(agent.admission), "may_connect", lambda *_: False)
    for _ in range(20):
        with pytest.raises(AgentRefused) as caught:
            ask({"op": "deliver", "bundle": "x" * 200_000}, agent.path)
        assert caught.value.code == "not-allowed"


def test_nobody_there_is_said_with_every_path_that_was_tried(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credagent_worker, "socket_paths", lambda: [path, path + ".2"])
    with pytest.raises(AgentAbsent) as caught:
        ask({"op": "set"})
    assert str(caught.value) == f"{path}: no such file or directory; {path}.2: no such file or directory"


def test_the_second_place_is_asked_where_nobody_listens_at_the_first(
    agent: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credagent_worker, "socket_paths", lambda: ["/nowhere", agent.path])
    assert ask({"op": "identity"})["audience"] == "lab"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400\n", b"[]\n", b"{}\n", b'"ok"\n', b"x" * 1_300_000])
def test_what_is_no_agent_is_told_apart(path: str, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AgentAbsent):
            ask({"op": "set"}, path)
        thread.join()


def test_an_agent_that_hangs_is_left_at_the_deadline(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(AgentAbsent):
            ask({"op": "set"}, path, timeout=0.01)


def test_where_an_agent_may_listen() -> None:
    folders = credagent_worker.runtime_folders({"XDG_RUNTIME_DIR": "/run/user/7"}, os.geteuid())
    assert socket_paths({"XDG_RUNTIME_DIR": "/run/user/7"}) == [f"{folder}/agent.sock" for folder in folders]
    assert socket_paths({"CREDAGENT_SOCKET": "/s", "XDG_RUNTIME_DIR": "/run/user/7"}) == ["/s"]
    assert socket_paths() == socket_paths(os.environ)
