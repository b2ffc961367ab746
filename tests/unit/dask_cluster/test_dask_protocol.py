"""What a scheduler sends is read as numbers, text, bytes, lists and mappings, whatever it would like it to become."""

import asyncio
import contextlib
import pickle
import ssl
import struct
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from credagent.dask_cluster import dask_protocol
from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.errors import Unavailable

LIMIT_BYTES = 4_096
HANDSHAKE = dask_protocol.pack({"compression": None, "python": [3, 11, 7], "pickle-protocol": 5})


class Bomb:
    """Unpickling this would be noticed."""

    armed = False

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("from tests.unit.dask_cluster import test_dask_protocol; test_dask_protocol.Bomb.armed = True",)


def framed(*frames: bytes, total: int | None = None) -> bytes:
    lengths = b"".join(struct.pack("<Q", len(frame)) for frame in frames)
    body = struct.pack("<Q", len(frames)) + lengths + b"".join(frames)
    return struct.pack("<Q", len(body) if total is None else total) + body


@contextlib.asynccontextmanager
async def scheduler(says: bytes) -> AsyncIterator[int]:
    """Listens, says one thing to whoever comes, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.write_eof()
            await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def received(says: bytes) -> object:
    async with scheduler(HANDSHAKE + says) as port:
        connection = await dask_protocol.connect("127.0.0.1", port, None)
        try:
            return msgspec.msgpack.decode(await connection.receive(LIMIT_BYTES))
        finally:
            connection.close()


def hears(says: bytes) -> object:
    return asyncio.run(received(says))


def refuses(work: Callable[[], object]) -> str:
    with pytest.raises(Unavailable) as error:
        work()
    return error.value.code


def test_plain_values_come_through() -> None:
    message = {"op": "event", "event": [1.5, {"a": b"x", "b": None, "c": [True]}]}
    assert hears(dask_protocol.pack(message)) == message


def test_a_pickle_stays_an_inert_mapping_and_its_frames_are_skipped() -> None:
    header = msgspec.msgpack.encode({"pickled-obj": pickle.dumps(Bomb()), "num-sub-frames": 0})
    message = msgspec.msgpack.encode({"status": {"__Pickled__": 1}, "other": {"__Serialized__": 1}})
    assert hears(framed(message, header)) == {"status": {"__Pickled__": 1}, "other": {"__Serialized__": 1}}
    assert not Bomb.armed


def test_a_named_enumeration_is_not_imported() -> None:
    message = {"__Enum__": "x", "__module__": "distributed.core", "__name__": "Status", "name": "running"}
    assert hears(dask_protocol.pack([message])) == [message]


@pytest.mark.parametrize(
    "says",
    [
        struct.pack("<QQ", 8, 1 << 40),
        struct.pack("<QQ", 16, 1 << 40),
        struct.pack("<QQQ", 16, 1, 1 << 40),
        struct.pack("<QQQ", 16, 1, 9),
        struct.pack("<Q", 3) + b"abc",
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 64,
    ],
)
def test_what_is_not_framed_as_dask_does_it_ends_the_connection(says: bytes) -> None:
    assert refuses(lambda: hears(says)) in ("not-dask", "connection-lost")


@pytest.mark.parametrize(
    "large",
    [
        framed(bytes(LIMIT_BYTES + 1)),
        framed(bytes(LIMIT_BYTES + 1), bytes(100_000)),
        struct.pack("<QQQ", 16 + 2 * LIMIT_BYTES, 1, 2 * LIMIT_BYTES) + bytes(2 * LIMIT_BYTES),
    ],
)
def test_what_is_too_large_is_read_past_and_the_next_message_is_heard(large: bytes) -> None:
    async def both() -> tuple[str, object]:
        async with scheduler(HANDSHAKE + large + dask_protocol.pack("next")) as port:
            connection = await dask_protocol.connect("127.0.0.1", port, None)
            try:
                with pytest.raises(NoAnswer) as error:
                    await connection.receive(LIMIT_BYTES)
                return error.value.code, msgspec.msgpack.decode(await connection.receive(LIMIT_BYTES))
            finally:
                connection.close()

    assert asyncio.run(both()) == ("bad-answer", "next")


def test_thousands_of_frames_that_hold_pickles_are_only_counted() -> None:
    assert hears(framed(msgspec.msgpack.encode("hello"), *[b"x"] * 20_000)) == "hello"


def test_large_frames_may_follow_behind_the_length_of_a_message() -> None:
    first, large = msgspec.msgpack.encode("hello"), bytes(70_000)
    inside = struct.pack("<QQQ", 2, len(first), len(large)) + first
    assert hears(struct.pack("<Q", len(inside)) + inside + large) == "hello"


@pytest.mark.parametrize("says", [b"", framed(b"\x81", total=100), HANDSHAKE[:5]])
def test_a_connection_that_ends_is_lost(says: bytes) -> None:
    assert refuses(lambda: hears(says)) == "connection-lost"


def test_something_else_that_listens_is_no_scheduler() -> None:
    async def meet(says: bytes) -> None:
        async with scheduler(says) as port:
            await dask_protocol.connect("127.0.0.1", port, None)

    assert refuses(lambda: asyncio.run(meet(dask_protocol.pack("hello")))) == "not-dask"
    assert refuses(lambda: asyncio.run(meet(b"SSH-2.0-OpenSSH\r\n"))) in ("not-dask", "connection-lost")


def test_nobody_there_is_said_with_the_address(unused_tcp_port: int) -> None:
    async def meet() -> object:
        return await dask_protocol.connect("127.0.0.1", unused_tcp_port, None)

    assert refuses(lambda: asyncio.run(meet())) == "unreachable"


def test_a_gateway_that_closes_before_tls_begins_has_no_scheduler_for_the_cluster() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False

    async def meet(server_name: str) -> None:
        async with scheduler(b"") as port:
            await dask_protocol.connect("127.0.0.1", port, context, server_name)

    assert refuses(lambda: asyncio.run(meet("daskgateway-c1"))) == "no-cluster"
    assert refuses(lambda: asyncio.run(meet(""))) != "no-cluster", "a scheduler of one's own is not behind a gateway"


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
