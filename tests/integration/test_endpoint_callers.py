"""Who gets an answer: the uid that opened the connection decides, however it was opened and whoever holds it now."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from credagent.system import open_file_limit
from tests.integration.listening import PATH, TOKEN_PATH, Listening, ask_as, listening
from tests.patience import scaled

WORKER, STRANGER, OVERFLOW, ROOT = 65533, 65532, 65534, 0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

ADDRESSES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]


@pytest.fixture(scope="module")
def house() -> Iterator[Listening]:
    with listening(admitted=frozenset({WORKER, OVERFLOW})) as found:
        yield found


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("path", [PATH, TOKEN_PATH])
def test_a_worker_is_answered(house: Listening, address: str, path: str) -> None:
    answer = ask_as(house, WORKER, house.request(path), address=address)
    assert answer.startswith("HTTP/1.1 200 ")
    assert "session-1" in answer or "ya29.1" in answer


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("path", [PATH, TOKEN_PATH, "/", "/nowhere"])
@pytest.mark.parametrize("uid", [STRANGER, OVERFLOW, ROOT])
def test_another_user_gets_a_refusal_that_says_so_and_nothing_else(
    house: Listening, address: str, path: str, uid: int
) -> None:
    answer = ask_as(house, uid, house.request(path), address=address)
    assert answer.startswith("HTTP/1.1 403 ")
    assert "not-allowed" in answer
    assert "secret-" not in answer
    assert "ya29." not in answer


def test_a_socket_handed_down_from_root_gets_nothing(house: Listening) -> None:
    for address in ADDRESSES:
        answer = ask_as(house, WORKER, house.request(), address=address, handed_down=True)
        assert answer.startswith("HTTP/1.1 403 "), answer


def test_a_caller_who_has_closed_his_side_is_answered_or_refused_but_never_hangs(house: Listening) -> None:
    """His connection is not established any more; whether that was seen in time is a race, and either is an answer."""
    answer = ask_as(house, WORKER, house.request(), half_close=True)
    assert answer.startswith(("HTTP/1.1 200 ", "HTTP/1.1 403 "))


def test_connections_that_are_closed_at_once_leave_nothing_behind(house: Listening) -> None:
    for reset in (False, True) * 50:
        hasty = socket.create_connection(("127.0.0.1", house.port))
        hasty.sendall(house.request())
        if reset:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hasty.close()
    assert ask_as(house, WORKER, house.request()).startswith("HTTP/1.1 200 ")


def test_refused_callers_cannot_keep_workers_out(house: Listening) -> None:
    crowd = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(300)]  # root: refused
    try:
        assert ask_as(house, WORKER, house.request()).startswith("HTTP/1.1 200 ")
    finally:
        for one in crowd:
            one.close()


def test_a_user_who_was_taken_out_of_the_configuration_is_not_answered_on_an_open_connection() -> None:
    with listening(admitted=frozenset({ROOT})) as house:
        held = socket.create_connection(("127.0.0.1", house.port), timeout=scaled(10))
        held.sendall(house.request())
        assert held.recv(65536).startswith(b"HTTP/1.1 200 ")
        house.admitted = frozenset()
        held.sendall(house.request())
        assert held.recv(65536).startswith(b"HTTP/1.1 403 ")


def test_one_user_leaves_connections_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_file_limit, "most_connections", lambda: 8)
    with listening(admitted=frozenset({ROOT, WORKER})) as house:
        crowd = [socket.create_connection(("127.0.0.1", house.port), timeout=scaled(10)) for _ in range(8)]
        answers = []
        for one in crowd:
            one.sendall(house.request())
            answers.append(one.recv(65536)[9:12])
        assert answers == [b"200"] * 6 + [b"503"] * 2
        assert ask_as(house, WORKER, house.request()).startswith("HTTP/1.1 200 ")
        for one in crowd:
            one.close()
