"""Callers of agent.sock who ask without end, or do not read: others are answered meanwhile, and memory is bounded."""

import asyncio
import socket
from pathlib import Path

import pytest

from credagent.handover.http import server as http_server
from credagent.handover.http.listeners import unix_http
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, text
from credagent.handover.unix import connection
from credagent.handover.unix import server as unix_server
from credagent.handover.unix.server import SocketServer
from tests.standin import StandIn
from tests.unit.handover.unix.test_server import Client, tell, until

METRICS = b"GET /metrics HTTP/1.1\r\n\r\n"


class Face:
    """Counts what it answers."""

    def __init__(self, size: int = 2_000) -> None:
        self.answered, self._answer = 0, text("x" * size)

    def answer(self, _: HttpRequest) -> HttpResponse:
        self.answered += 1
        return self._answer


async def flood(client: Client, data: bytes) -> socket.socket:
    """Send what the kernel takes at once, and read nothing."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.setblocking(False)  # noqa: FBT003  the socket's own signature
    await asyncio.get_running_loop().sock_connect(sock, client.path)
    sock.send(data)
    return sock


def test_ten_thousand_requests_in_one_read_are_answered_in_turns(tmp_path: Path) -> None:
    face = Face(size=1)

    async def story(_: SocketServer, client: Client) -> None:
        await client.ask(op="status")
        floods = [await flood(client, METRICS * 8_000) for _ in range(4)]
        await until(lambda: face.answered > 0)
        assert (await client.ask(op="status"))["ok"]
        assert face.answered < 4 * http_server.BURST * 10
        for one in floods:
            one.close()

    tell(story, tmp_path, http_factory=unix_http(face, lambda _face, _outcome: None))


def test_all_of_many_pipelined_requests_are_answered_and_what_follows_too(tmp_path: Path) -> None:
    face = Face()

    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(METRICS * 5_000 + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + METRICS)
        answered = await asyncio.wait_for(client.reader.read(), 10)
        assert answered.count(b"HTTP/1.1 200 OK") == 5_001

    tell(story, tmp_path, http_factory=unix_http(face, lambda _face, _outcome: None))


def test_what_is_no_request_is_told_after_the_answers_to_those_before_it(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(METRICS * 100 + b"\x00\r\n\r\n")
        answered = await asyncio.wait_for(client.reader.read(), 10)
        assert answered.count(b"HTTP/1.1 200 OK") == 100
        assert answered.count(b"HTTP/1.1 400 ") == 1

    tell(story, tmp_path, http_factory=unix_http(Face(), lambda _face, _outcome: None))


def test_who_asks_by_http_and_does_not_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "UNREAD_DEADLINE_S", 0.05)
    face = Face(size=20_000)

    async def story(server: SocketServer, client: Client) -> None:
        deaf = await flood(client, METRICS * 2_000)
        await until(lambda: face.answered > 0)
        await until(lambda: len(server.connections) == 1)
        assert face.answered < 100
        deaf.close()

    tell(story, tmp_path, http_factory=unix_http(face, lambda _face, _outcome: None))


@pytest.mark.parametrize("first", [b'{"op":"subscribe","role":"worker"}\n', b""])
def test_who_asks_by_lines_and_does_not_read_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.2)

    async def story(server: SocketServer, client: Client) -> None:
        deaf = await flood(client, first + b'{"op":"set"}\n' * 2_000)
        largest = 0
        while len(server.connections) > 1 or not largest:
            largest = max([largest, *(one.transport.get_write_buffer_size() for one in server.connections)])
            await asyncio.sleep(0)
        assert largest < connection.UNREAD_BYTES + 20_000
        deaf.close()

    tell(story, tmp_path, agent=StandIn(A="x" * 10_000))


def test_a_subscriber_who_reads_again_in_time_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.2)
    agent = StandIn(A="x" * 400_000)

    async def story(server: SocketServer, client: Client) -> None:
        client.writer.write(b'{"op":"subscribe","role":"worker"}\n')
        await until(lambda: bool(server.subscribers()))
        assert (await client.answer())["generation"] == 1
        await asyncio.sleep(0.4)
        agent.set({"A": "2"})
        server.publish()
        assert (await client.answer())["generation"] == 2

    tell(story, tmp_path, agent=agent)


def test_large_requests_that_are_never_whole_are_bounded_in_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_server, "UNANSWERED_BYTES", 300_000)

    async def story(server: SocketServer, client: Client) -> None:
        begun = [await client.another() for _ in range(3)]
        for one in begun[:2]:
            one.writer.write(b"x" * 120_000)
        await until(lambda: sum(each.unanswered_bytes for each in server.connections) == 240_000)
        begun[2].writer.write(b"x" * 120_000)
        assert (await begun[2].answer())["code"] == "busy"
        assert (await client.ask(op="deliver", bundle="sealed"))["ok"]

    tell(story, tmp_path)
