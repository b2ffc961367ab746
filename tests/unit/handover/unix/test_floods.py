"""Callers of agent.sock who ask without end, or do not read: others are answered meanwhile, and memory is bounded."""

import asyncio
import socket
from pathlib import Path

import pytest

from credagent.handover.http.conversation import BURST
from credagent.handover.http.listeners import unix_http
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, text
from credagent.handover.unix.connection import HTTP_CONNECTIONS, SocketLimits
from credagent.handover.unix.server import SocketServer
from tests.patience import scaled
from tests.standin import StandIn
from tests.unit.handover.unix.test_server import Client, tell, unread_bytes, until

METRICS = b"GET /metrics HTTP/1.1\r\n\r\n"


class Face:
    """Counts what it answers."""

    def __init__(self, size: int = 2_000) -> None:
        self.answered, self._answer = 0, text("x" * size)

    def answer(self, _: HttpRequest) -> HttpResponse:
        self.answered += 1
        return self._answer


async def ask_by_http(client: Client, times: int = 1) -> None:
    """Ask, `times` at once, and read the answers of one byte each."""
    client.writer.write(METRICS * times)
    for _ in range(times):
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        await client.reader.readexactly(1)


async def flood(client: Client, data: bytes) -> socket.socket:
    """Send what the kernel takes at once, and read nothing."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.setblocking(False)  # noqa: FBT003  the socket's own signature
    await asyncio.get_running_loop().sock_connect(sock, client.path)
    sock.send(data)
    return sock


def test_of_thousands_of_requests_in_one_read_a_few_are_answered_and_the_connection_ends(tmp_path: Path) -> None:
    face = Face(size=1)

    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(METRICS * 5_000)
        answered = await asyncio.wait_for(client.reader.read(), scaled(10))
        assert answered.count(b"HTTP/1.1 200 OK") == face.answered == BURST

    tell(story, tmp_path, http=unix_http(face.answer, lambda _face, _outcome: None))


def test_a_few_pipelined_requests_are_answered_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        for _round in range(3):
            await ask_by_http(client, times=BURST)

    tell(story, tmp_path, http=unix_http(Face(size=1).answer, lambda _face, _outcome: None))


def test_what_is_no_request_is_told_after_the_answers_to_those_before_it(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(METRICS * 3 + b"\x00\r\n\r\n")
        answered = await asyncio.wait_for(client.reader.read(), scaled(10))
        assert answered.count(b"HTTP/1.1 200 OK") == 3
        assert answered.count(b"HTTP/1.1 400 ") == 1

    tell(story, tmp_path, http=unix_http(Face().answer, lambda _face, _outcome: None))


def test_who_asks_by_http_and_does_not_read_is_left(tmp_path: Path) -> None:
    face = Face(size=100_000)

    async def story(server: SocketServer, client: Client) -> None:
        deaf = await flood(client, METRICS * BURST)
        await until(lambda: face.answered > 0)
        await until(lambda: len(server.connections) == 0)
        assert face.answered == BURST
        deaf.close()

    limits = SocketLimits(patience_s=scaled(0.2))
    tell(story, tmp_path, limits=limits, http=unix_http(face.answer, lambda _face, _outcome: None))


def test_http_connections_are_bounded_and_the_one_that_was_idle_longest_makes_room(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        first, second, *_others = kept = [await client.another() for _ in range(HTTP_CONNECTIONS)]
        for one in (*kept, first):
            await ask_by_http(one)
        await ask_by_http(await client.another())
        assert await second.reader.read() == b""
        await ask_by_http(first)
        assert (await client.ask(op="status"))["ok"]

    tell(story, tmp_path, http=unix_http(Face(size=1).answer, lambda _face, _outcome: None))


@pytest.mark.parametrize("first", [b'{"op":"subscribe","role":"worker"}\n', b""])
def test_who_asks_by_lines_and_does_not_read_is_left(tmp_path: Path, first: bytes) -> None:
    limits = SocketLimits(patience_s=scaled(0.5))

    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="subscribe", role="worker"))["ok"]
        deaf = await flood(client, first + b'{"op":"set"}\n' * 2_000)
        largest = 0
        while len(server.connections) > 1 or not largest:
            largest = max([largest, *map(unread_bytes, server.connections)])
            await asyncio.sleep(0)
        assert largest < limits.unread_bytes + 20_000
        deaf.close()

    tell(story, tmp_path, agent=StandIn(A="x" * 10_000), limits=limits)


def test_a_subscriber_who_reads_again_in_time_stays_and_gets_the_newest_set(tmp_path: Path) -> None:
    agent = StandIn(A="x" * 400_000)

    async def story(server: SocketServer, client: Client) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        client.writer.write(b'{"op":"subscribe","role":"worker"}\n')
        await until(lambda: bool(server.subscribers()))
        (connection,) = server.connections
        await until(lambda: unread_bytes(connection) > 0)
        agent.set({"A": "2"})
        server.publish()
        agent.set({"A": "3"})
        server.publish()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a socket's transport can
        assert [(await client.answer())["generation"] for _ in range(2)] == [1, 3]

    tell(story, tmp_path, agent=agent, limits=SocketLimits(patience_s=scaled(30)))


def test_large_requests_that_are_never_whole_are_bounded_in_sum(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        begun = [await client.another() for _ in range(4)]
        for one in begun:
            one.writer.write(b"x" * 120_000)
        refused = [asyncio.create_task(one.answer()) for one in begun]
        done, waiting = await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result()["code"] for task in done} == {"busy"}
        assert waiting
        assert (await client.ask(op="deliver", bundle="sealed"))["ok"]
        for task in waiting:
            task.cancel()

    tell(story, tmp_path, limits=SocketLimits(kept_bytes=300_000))
