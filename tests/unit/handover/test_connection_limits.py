"""A hostile caller of agent.sock costs others neither their places, nor their turn, nor the log."""

from pathlib import Path

import pytest

from credagent import log
from credagent.handover.connection_limits import ConnectionLimits
from credagent.handover.unix import server
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import Caller
from credagent.handover.unix.server import SocketServer
from tests.standin import StandIn
from tests.unit.handover.unix.test_server import Client, tell


def test_places_are_counted_for_each_user_and_given_back() -> None:
    places = ConnectionLimits(8, kept_for_privileged=2)
    assert [places.take(1) for _ in range(6)] == [True] * 5 + [False]
    assert [places.take(2) for _ in range(2)] == [True, False]
    assert [places.take(0, privileged=True) for _ in range(3)] == [True, True, False]
    places.give_back(1)
    assert (places.take(2), places.take(0, privileged=True)) == (False, True)


class Uid(int):
    """A user whose comparisons are counted."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Uid.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_letting_one_in_costs_no_more_where_hundreds_are_there() -> None:
    """Two look-ups of one user are all that may be compared."""
    places = ConnectionLimits(2_000)
    for uid in range(1_000, 1_500):
        assert places.take(Uid(uid))
    Uid.compared = 0
    assert places.take(Uid(1_000))
    assert places.may_stay(Uid(1_000))
    places.give_back(Uid(1_000))
    assert Uid.compared < 20


def test_one_user_leaves_places_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccessRules, "is_privileged", lambda *_: False)
    monkeypatch.setattr(AccessRules, "may_ask", lambda *_: True)
    uid = 1000
    monkeypatch.setattr(server, "caller_of", lambda _: Caller(pid=1, uid=uid, gid=uid))

    async def story(_: SocketServer, client: Client) -> None:
        nonlocal uid
        greedy = [client, *[await client.another() for _ in range(5)]]
        for one in greedy:
            assert (await one.ask(op="status"))["ok"]
        assert (await (await client.another()).answer())["code"] == "busy"
        uid = 1001
        assert (await (await client.another()).ask(op="status"))["ok"]

    tell(story, tmp_path, places=ConnectionLimits(8))


def test_a_user_who_was_taken_out_of_the_configuration_is_not_supplied_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = StandIn(A="1")
    monkeypatch.setattr(server, "caller_of", lambda _: Caller(pid=1, uid=4242, gid=4242))
    monkeypatch.setattr(AccessRules, "is_privileged", lambda *_: False)

    async def story(serving: SocketServer, client: Client) -> None:
        assert (await client.answer())["code"] == "not-allowed"
        serving.rules = AccessRules(own_uid=1, users=frozenset({4242}))
        worker, deliverer = await client.another(), await client.another()
        assert (await worker.ask(op="subscribe", role="worker"))["ok"]
        assert (await deliverer.ask(op="identity"))["ok"]
        serving.rules = AccessRules(own_uid=1, deliver_users=frozenset({4242}))
        agent.set({"A": "2"})
        serving.publish()
        assert await worker.answer() is None
        assert (await deliverer.ask(op="identity"))["ok"]

    tell(story, tmp_path, agent=agent)


def test_who_hammers_at_the_socket_does_not_fill_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, **_: said.append(event))
    monkeypatch.setattr(server, "caller_of", lambda _: Caller(pid=1, uid=4242, gid=4242))

    async def story(_: SocketServer, client: Client) -> None:
        for _attempt in range(20):
            assert (await (await client.another()).answer())["code"] == "not-allowed"

    tell(story, tmp_path)
    assert said == ["caller_refused"]


def test_who_asks_thousands_of_times_at_once_lets_others_go_first(tmp_path: Path) -> None:
    async def story(_: SocketServer, client: Client) -> None:
        other = await client.another()
        client.writer.write(b'{"op":"identity"}\n' * 2_000)
        other.writer.write(b'{"op":"identity"}\n')
        client.writer.write_eof()
        assert (await other.answer())["ok"]
        greedy = await client.reader.read(1)
        rest = greedy + await client.reader.read()
        assert rest.count(b"\n") == 2_000  # late, and all of them

    tell(story, tmp_path)
