"""What a caller who may ask can still not do: be slow, be large, be many, be forged, or not read."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest

from credagent.handover.http.conversation import BURST
from credagent.handover.http.listener import Timeouts
from credagent.system import open_file_limit
from tests.integration.listening import PATH, TOKEN_PATH, Listening, listening
from tests.patience import scaled

OWN = frozenset({os.geteuid()})


@pytest.fixture
def house() -> Iterator[Listening]:
    with listening(admitted=OWN) as found:
        yield found


def connect(house: Listening) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port), timeout=scaled(10))


def all_of(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    return received


def answer(house: Listening, request: bytes) -> bytes:
    with connect(house) as connection:
        connection.sendall(request)
        received = connection.recv(1 << 16)
        connection.sendall(house.request("/last", Connection="close"))  # ends a connection that is still open
        return received + all_of(connection)


def status(house: Listening, request: bytes) -> int:
    return int(answer(house, request).split(b" ")[1])


def test_names_it_is_bound_to_are_answered(house: Listening) -> None:
    for host in ("127.0.0.1", "[::1]", "localhost", "LOCALHOST"):
        assert status(house, house.request(host=f"{host}:{house.port}")) == 200
        assert status(house, house.request(host=host)) == 200  # as clients on the AWS C runtime write it


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost:1",
        "127.0.0.1:80",
        "127.0.0.1:",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.2:{port}",
        "127.0.0.2",
        "0:{port}",
        "::1",
        "169.254.169.254",
        "metadata.google.internal",
    ],
)
def test_a_forged_host_is_refused(house: Listening, host: str) -> None:
    for path in (PATH, TOKEN_PATH, "/"):
        assert b"wrong-host" in answer(house, house.request(path, host=host.format(port=house.port)))


def test_a_request_without_a_host_is_refused(house: Listening) -> None:
    assert status(house, f"GET {PATH} HTTP/1.0\r\nAuthorization: x\r\n\r\n".encode()) == 403


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Forwarded", "Via", "x_forwarded_host"])
def test_a_forwarded_request_is_refused(house: Listening, name: str) -> None:
    assert b"forwarded" in answer(house, house.request(**{name: "for=10.0.0.1"}))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(house: Listening, method: str) -> None:
    assert status(house, house.request(method=method, Content_Length="0")) == 405


def test_a_token_may_be_posted_for_with_a_small_body_only(house: Listening) -> None:
    assert status(house, house.request(TOKEN_PATH, method="POST", Content_Length="2") + b"{}") == 200
    assert status(house, house.request(TOKEN_PATH, method="POST", Content_Length="5000") + b"x" * 5000) == 413


def test_an_oversized_head_is_refused(house: Listening) -> None:
    assert status(house, house.request(X_Large="x" * 9_000)) == 431
    assert status(house, house.request("/" + "x" * 100_000)) == 431


def test_garbage_is_refused(house: Listening) -> None:
    assert status(house, b"\x16\x03\x01 this is TLS\r\n\r\n") == 400


def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(house: Listening) -> None:
    paths = [PATH, TOKEN_PATH, "/nowhere", "/", PATH] * 3
    with connect(house) as connection:
        connection.sendall(b"".join(house.request(path) for path in paths))
        connection.sendall(house.request("/last", Connection="close"))
        received = all_of(connection)
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 404, 200, 200] * 3 + [404]


def test_of_more_pipelined_requests_than_any_sdk_sends_the_first_are_answered(house: Listening) -> None:
    with connect(house) as connection:
        connection.sendall(house.request() * 50)
        received = all_of(connection)
    assert received.count(b"HTTP/1.1 200 ") == BURST


def test_nothing_after_a_last_request_is_answered(house: Listening) -> None:
    with connect(house) as connection:
        connection.sendall(house.request(Connection="close") + house.request())
        received = all_of(connection)
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_slow_head_ends_at_its_deadline_however_often_a_byte_arrives() -> None:
    with listening(admitted=OWN, timeouts=Timeouts(head_s=scaled(0.3))) as house:
        for before in (b"", house.request()):
            with connect(house) as connection:
                connection.sendall(before)
                received = b""
                connection.settimeout(0)
                with contextlib.suppress(OSError):  # ended while it was still writing, at the latest when this is sent
                    for byte in house.request() * 100:
                        connection.send(bytes([byte]))
                        time.sleep(0.01)
                connection.settimeout(scaled(10))
                with contextlib.suppress(ConnectionResetError):
                    received = all_of(connection)
                assert received.count(b"HTTP/1.1 200") <= bool(before)
        assert house.outcomes["http too-slow"] == 2


def test_an_idle_connection_ends() -> None:
    timeouts = Timeouts(head_s=scaled(0.2), idle_s=scaled(0.4))
    with listening(admitted=OWN, timeouts=timeouts) as house, connect(house) as silent, connect(house) as idle:
        idle.sendall(house.request())
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200")
        for connection in (silent, idle):
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_what_is_asked_when_the_agent_stops_is_answered_and_nobody_is_reset() -> None:
    with listening(admitted=OWN) as house:
        asked, silent, idle = connect(house), connect(house), connect(house)
        idle.sendall(house.request())
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200")
        asked.sendall(house.request())
    assert all_of(asked).startswith(b"HTTP/1.1 200")
    assert all_of(idle) == b""
    with contextlib.suppress(ConnectionResetError):  # it has asked nothing for as long as anybody was waited for
        assert all_of(silent) == b""
    for one in (asked, silent, idle):
        one.close()


def test_surplus_connections_are_refused_and_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_file_limit, "MOST", 3)
    with listening(admitted=OWN) as house:
        crowd = [connect(house) for _ in range(3)]
        for one in crowd:
            one.sendall(house.request())
            assert one.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert b"too-many-connections" in answer(house, house.request())
        crowd.pop().close()
        deadline = time.monotonic() + scaled(5)
        while (found := status(house, house.request())) != 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found == 200
        for one in crowd:
            one.close()


def test_a_defect_in_an_answer_is_an_error_without_its_text(house: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "current", None)
    received = answer(house, house.request())
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"NoneType" not in received
