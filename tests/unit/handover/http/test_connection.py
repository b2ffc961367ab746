"""One HTTP connection of a listener: what it costs when its caller does not read, and who makes room for whom."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from credagent.handover.http.connection import HttpConnection
from credagent.handover.http.listener import Accepted, Listener, Timeouts
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, text
from tests.patience import scaled
from tests.unit.handover.unix.test_server import until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Connect = Callable[[], Awaitable[socket.socket]]


def serve(listener: Listener, story: Callable[[Connect], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: HttpConnection(listener, loop), "127.0.0.1", 0)

        async def connect() -> socket.socket:
            client = socket.socket()
            client.setblocking(False)  # noqa: FBT003  the socket's own signature
            await loop.sock_connect(client, server.sockets[0].getsockname())
            return client

        async with server:
            await story(connect)
            listener.abort()

    asyncio.run(run())


async def received(client: socket.socket, until: bytes = b"") -> bytes:
    """Return all that arrives, to the end or to `until`."""
    found, loop = b"", asyncio.get_running_loop()
    while piece := await asyncio.wait_for(loop.sock_recv(client, 1 << 20), scaled(10)):
        found += piece
        if until and found.endswith(until):
            break
    return found


def test_a_caller_who_asks_and_does_not_read_is_not_read_from_and_left() -> None:
    asked = 0
    large = text("x" * 8_000_000)  # more than the kernel takes of it

    def answer(_: HttpRequest) -> HttpResponse:
        nonlocal asked
        asked += 1
        return large

    async def story(connect: Connect) -> None:
        deaf = await connect()
        for _ in range(20):
            await asyncio.get_running_loop().sock_sendall(deaf, REQUEST)
            await asyncio.sleep(0)
        await until(lambda: listener.is_idle)
        assert 0 < asked < 20
        deaf.close()

    timeouts = Timeouts(head_s=scaled(30), idle_s=scaled(30), unread_s=scaled(0.2))
    listener = Listener(lambda _: Accepted(None, answer), count=lambda _: None, most=5, timeouts=timeouts)
    serve(listener, story)


def test_where_everybody_may_connect_the_connection_that_was_idle_longest_makes_room() -> None:
    async def story(connect: Connect) -> None:
        loop = asyncio.get_running_loop()
        first, second, third = [await connect() for _ in range(3)]
        for one in (first, second, third, first):
            await loop.sock_sendall(one, REQUEST)
            await received(one, until=b"alive")
        new = await connect()
        await loop.sock_sendall(new, REQUEST)
        assert await received(new, until=b"alive")
        assert await received(second) == b""
        for one in (first, third):
            await loop.sock_sendall(one, REQUEST)
            assert await received(one, until=b"alive")

    alive = text("alive")
    listener = Listener(lambda _: Accepted(None, lambda _: alive), count=lambda _: None, most=3, evicts=True)
    serve(listener, story)
