"""The server of agent.sock: callers are judged first, answers come in order, and nobody can take more than a little."""

import asyncio
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from credagent.config.keys import KEYS
from credagent.handover.connection_limits import ConnectionLimits
from credagent.handover.unix import socket_file
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.connection import SocketLimits, UnixConnection
from credagent.handover.unix.server import SocketServer
from tests.patience import scaled
from tests.standin import StandIn

ME = AccessRules(own_uid=os.geteuid())
Story = Callable[[SocketServer, "Client"], Awaitable[None]]


class Client:
    """One connection, line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, path: str) -> None:
        self.path = path

    async def connect(self) -> "Client":
        self.reader, self.writer = await asyncio.open_unix_connection(self.path, limit=1 << 21)
        return self

    async def another(self) -> "Client":
        return await Client(self.path).connect()

    async def ask(self, **request: Any) -> Any:
        self.writer.write(json.dumps(request).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        line = await asyncio.wait_for(self.reader.readline(), scaled(5))
        return json.loads(line) if line else None


def tell(story: Story, path: Path, *, agent: StandIn | None = None, **options: Any) -> None:
    async def run() -> None:
        bound = socket_file.bind(str(path / "agent.sock"))
        server = SocketServer(agent or StandIn(A="1"), ME, **options)
        await server.start(bound.sock)
        try:
            await story(server, await Client(bound.path).connect())
        finally:
            server.close()
            bound.close()
            await asyncio.sleep(0)

    asyncio.run(run())


def unread_bytes(connection: UnixConnection) -> int:
    """Return how much is kept for a caller that does not read."""
    return connection._writer.transport.get_write_buffer_size()


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110  the server tells nobody when it has forgotten a connection
        await asyncio.sleep(0.001)


def test_documents_are_answered_in_order_also_when_asked_all_at_once(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(b'{"op":"set"}\n{"op":"renew","slot":"aws"}\n{"op":"status"}\n{"op":"identity"}\n')
        assert (await client.answer())["environment"] == {"A": "1"}
        assert (await client.answer()) == {"ok": True, "slots": {"aws": "renewed"}}
        assert (await client.answer())["state"] == "ready"
        assert (await client.answer())["audience"] == "lab"

    tell(story, tmp_path)


def test_a_subscriber_gets_the_set_now_and_at_each_change_and_is_listed(tmp_path: Path) -> None:
    agent = StandIn(A="1")

    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="subscribe", role="worker"))["generation"] == 1
        agent.set({"A": "2"})
        server.publish()
        assert (await client.answer())["environment"] == {"A": "2"}
        client.writer.write(b'{"op":"applied","generation":2}\n')
        assert (await client.ask(op="status"))["state"] == "ready"  # answered after what was sent before
        (one,) = server.subscribers()
        assert (one.pid, one.uid, one.role, one.generation) == (os.getpid(), os.geteuid(), "worker", 2)
        client.writer.close()
        await until(lambda: not server.subscribers())

    tell(story, tmp_path, agent=agent)


def test_only_a_subscriber_reports_and_nobody_subscribes_twice(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        assert (await client.ask(op="applied", generation=1))["code"] == "bad-request"
        await client.ask(op="subscribe", role="exec")
        assert (await client.ask(op="subscribe", role="exec"))["code"] == "bad-request"

    tell(story, tmp_path)


def test_a_refused_bundle_is_answered_and_the_connection_goes_on(tmp_path: Path) -> None:
    agent = StandIn()

    async def story(_: SocketServer, client: Client) -> None:
        assert (await client.ask(op="deliver", bundle="broken"))["code"] == "signature"
        assert (await client.ask(op="deliver", bundle="sealed"))["outcome"] == "admitted"
        assert agent.delivered == [("sealed", os.geteuid())]

    tell(story, tmp_path, agent=agent)


def test_a_defect_is_one_answer_without_its_text_and_not_the_end(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        answer = await client.ask(op="deliver", bundle="defect")
        assert answer["code"] == "internal"
        assert "defect" not in answer["message"]
        assert (await client.ask(op="status"))["ok"]

    tell(story, tmp_path)


def test_an_empty_slot_is_no_credentials(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        assert (await client.ask(op="credential-process"))["code"] == "no-credentials"

    tell(story, tmp_path)


def test_who_asks_and_stops_sending_is_still_answered(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(b'{"op":"deliver","bundle":"sealed"}\n')
        client.writer.write_eof()
        assert (await client.answer())["outcome"] == "admitted"
        assert await client.answer() is None

    tell(story, tmp_path)


def test_a_stranger_is_told_so_at_once_and_holds_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccessRules, "may_connect", lambda *_: False)

    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.answer())["code"] == "not-allowed"
        assert await client.answer() is None
        assert not server.connections

    tell(story, tmp_path)


def test_who_may_only_deliver_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccessRules, "may_ask", lambda *_: False)
    monkeypatch.setattr(AccessRules, "may_deliver", lambda *_: True)

    async def story(_: SocketServer, client: Client) -> None:
        for request in ("set", "status", "renew", "credential-process"):
            assert (await client.ask(op=request))["code"] == "not-allowed"
        assert (await client.ask(op="subscribe", role="worker"))["code"] == "not-allowed"
        assert (await client.ask(op="identity"))["ok"]
        assert (await client.ask(op="deliver", bundle="sealed"))["ok"]

    tell(story, tmp_path)


def test_who_is_refused_is_told_which_key_of_the_configuration_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AccessRules, "may_connect", lambda *_: True)
    monkeypatch.setattr(AccessRules, "may_ask", lambda *_: False)
    monkeypatch.setattr(AccessRules, "may_deliver", lambda *_: False)

    async def story(_: SocketServer, client: Client) -> None:
        for request in ({"op": "set"}, {"op": "deliver", "bundle": "sealed"}):
            named = re.findall(r"\w+\.\w+", (await client.ask(**request))["hint"])
            assert named
            assert KEYS.keys() >= set(named)

    tell(story, tmp_path)


def test_an_endless_line_ends_the_connection(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        client.writer.write(b"x" * 300_000)
        assert (await client.answer())["code"] == "too-large"
        assert await client.answer() is None

    tell(story, tmp_path)


def test_who_does_not_say_what_he_wants_is_left_and_a_subscriber_may_be_silent(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        await client.ask(op="subscribe", role="worker")  # before anybody else begins to wait
        silent, slow = await client.another(), await client.another()
        slow.writer.write(b'{"op":')
        assert await slow.reader.read() == b""
        assert await silent.reader.read() == b""
        assert (await client.ask(op="status"))["ok"]

    tell(story, tmp_path, limits=SocketLimits(patience_s=scaled(0.5)))


def test_connections_are_limited_and_root_still_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    privileged = False
    monkeypatch.setattr(AccessRules, "is_privileged", lambda *_: privileged)
    monkeypatch.setattr(AccessRules, "may_ask", lambda *_: True)

    async def story(_: SocketServer, client: Client) -> None:
        nonlocal privileged
        second = await client.another()
        assert (await second.ask(op="status"))["ok"]
        assert (await (await client.another()).answer())["code"] == "busy"
        privileged = True
        assert (await (await client.another()).ask(op="status"))["ok"]

    tell(story, tmp_path, places=ConnectionLimits(4, kept_for_privileged=2))


def test_a_subscriber_that_does_not_read_costs_a_bounded_amount_and_then_gets_the_newest(tmp_path: Path) -> None:
    agent = StandIn(A="x" * 200_000)

    async def story(server: SocketServer, client: Client) -> None:
        client.writer.write(b'{"op":"subscribe","role":"worker"}\n')
        await until(lambda: bool(server.subscribers()))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        for number in range(50):
            agent.set({"A": f"{number}" * 100_000})
            server.publish()
            await asyncio.sleep(0)
        (connection,) = server.connections
        assert unread_bytes(connection) < 300_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a socket's transport can
        while (await client.answer())["generation"] != 51:
            pass

    tell(story, tmp_path, agent=agent)


def test_a_flood_of_small_requests_is_answered_at_the_readers_pace(tmp_path: Path) -> None:
    agent = StandIn(A="x" * 10_000)

    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="status"))["ok"]
        loop = asyncio.get_running_loop()
        flood = socket.socket(socket.AF_UNIX)
        flood.settimeout(0)
        await loop.sock_connect(flood, client.path)
        sending = loop.create_task(loop.sock_sendall(flood, b'{"op":"set"}\n' * 100_000))
        await until(lambda: max(map(unread_bytes, server.connections)) > 0)
        for _ in range(100):
            assert (await client.ask(op="status"))["ok"]  # nobody else waits
            assert max(map(unread_bytes, server.connections)) < 100_000
        assert not sending.done()  # it is not read any more
        sending.cancel()
        flood.close()

    tell(story, tmp_path, agent=agent)


def test_what_was_asked_before_the_agent_stops_is_answered_and_idle_callers_are_not_waited_for(tmp_path: Path) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="status"))["ok"]
        await client.ask(op="subscribe", role="worker")
        new, slow = await client.another(), await client.another()
        slow.writer.write(b'{"op":"deliver","bundle":"sealed"}\n')
        new.writer.write(b'{"op":"status"}\n')
        await server.finish(scaled(5))
        assert (await slow.answer())["outcome"] == "admitted"
        assert (await new.answer())["state"] == "ready"
        assert [await one.answer() for one in (client, new, slow)] == [None, None, None]

    tell(story, tmp_path)


def test_one_subscriber_too_many_gets_the_set_and_when_to_ask_again_and_has_a_place_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AccessRules, "is_privileged", lambda *_: False)
    monkeypatch.setattr(AccessRules, "may_ask", lambda *_: True)

    async def story(server: SocketServer, client: Client) -> None:
        kept = [client, *[await client.another() for _ in range(8)]]
        answers = [await one.ask(op="subscribe", role="worker") for one in kept]
        refused = [one for one, answer in zip(kept, answers, strict=True) if "again_s" in answer]
        assert len(server.subscribers()) + len(refused) == len(kept)
        assert refused
        assert {answer["environment"]["A"] for answer in answers} == {"1"}
        assert await refused[0].answer() is None
        assert (await (await client.another()).ask(op="status"))["ok"]  # there is always a place for a question
        for one in kept[:4]:
            one.writer.close()
        await until(lambda: len(server.connections) <= len(kept) - 4)
        assert "again_s" not in await (await client.another()).ask(op="subscribe", role="worker")

    tell(story, tmp_path, places=ConnectionLimits(12))


@pytest.mark.parametrize("generation", ["9" * 4_299, "-1", str(2**53), "1.5"])
def test_a_generation_that_not_every_reader_takes_is_refused(tmp_path: Path, generation: str) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        await client.ask(op="subscribe", role="worker")
        client.writer.write(f'{{"op":"applied","generation":{generation}}}\n'.encode())
        assert (await client.answer())["code"] == "bad-request"
        (one,) = server.subscribers()
        assert one.generation is None

    tell(story, tmp_path)


def test_a_set_that_is_asked_for_once_is_one_line_however_much_is_taken_back(tmp_path: Path) -> None:
    agent = StandIn()
    agent.set({"A": "1"}, overwrite={f"N{number}": "x" * 1_000 for number in range(3_000)})

    async def story(_: SocketServer, client: Client) -> None:
        answer = await client.ask(op="set")
        assert (answer["environment"], answer.get("more")) == ({"A": "1"}, None)
        assert (await client.ask(op="status"))["state"] == "ready"

    tell(story, tmp_path, agent=agent)


class ReadCounted(Mapping[str, object]):
    """A set as workers get it, which counts how often it was read: nobody can render it without reading it."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self.readings = 0

    def __getitem__(self, name: str) -> object:
        return self._document[name]

    def __iter__(self) -> Iterator[str]:
        self.readings += 1
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)


def test_a_set_is_rendered_once_for_five_hundred_subscribers_and_once_more_when_it_changes(tmp_path: Path) -> None:
    agent = StandIn()
    generations = []

    def next_generation(value: str) -> None:
        agent.set({"A": value})
        generations.append(ReadCounted(agent.document))
        agent.document = generations[-1]  # type: ignore[assignment]  # a mapping is all that the server may ask for

    async def story(server: SocketServer, client: Client) -> None:
        next_generation("1")
        clients = [client, *[await client.another() for _ in range(499)]]
        for one in clients:
            one.writer.write(b'{"op":"subscribe","role":"worker"}\n')
        assert {(await one.answer())["environment"]["A"] for one in clients} == {"1"}
        next_generation("2")
        server.publish()
        assert {(await one.answer())["environment"]["A"] for one in clients} == {"2"}
        for one in clients:
            one.writer.close()

    tell(story, tmp_path, agent=agent)
    assert [one.readings for one in generations] == [1, 1]


def test_who_came_first_is_answered_before_a_crowd_behind_him_is_let_in(tmp_path: Path) -> None:
    """Else the first answer after a restart waits until every worker of the machine has come in."""

    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="set"))["generation"] == 1
        crowd = []
        for _ in range(300):  # they wait in the kernel's queue: nothing is awaited here
            one = socket.socket(socket.AF_UNIX)
            one.connect(client.path)
            one.sendall(b'{"op":"set"}\n')
            one.setblocking(False)  # noqa: FBT003  its only parameter
            crowd.append(one)
        while not (said := _read(crowd[0])):  # noqa: ASYNC110  each pass of the loop counts
            await asyncio.sleep(0)
        assert json.loads(said)["generation"] == 1
        assert len(server.connections) < len(crowd) / 2
        for one in crowd:
            one.close()

    tell(story, tmp_path)


def _read(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 16)
    except BlockingIOError:
        return b""
