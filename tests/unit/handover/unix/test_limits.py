"""What an ordinary user may ask of agent.sock how often, and what happens when its file is removed."""

import os
from pathlib import Path

from credagent.handover.unix import socket_file
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import OVERFLOW_UID, Caller
from credagent.handover.unix.rate_limits import REFUSED_DELIVERIES, RENEWALS
from credagent.handover.unix.server import SocketServer
from tests.unit.handover.unix.test_server import ME, Client, tell


class Ordinary(AccessRules, frozen=True):
    """Whoever runs these tests, without the rights of root."""

    def is_privileged(self, caller: Caller) -> bool:
        return False


ORDINARY = Ordinary(own_uid=OVERFLOW_UID, users=frozenset({os.geteuid()}))


def test_an_ordinary_user_who_renews_in_a_loop_is_told_to_wait_and_others_are_not(tmp_path: Path) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        server.rules = ORDINARY
        answers = [await client.ask(op="renew", slot="aws") for _ in range(RENEWALS.burst + 3)]
        assert [one["ok"] for one in answers] == [True] * RENEWALS.burst + [False] * 3
        assert (answers[-1]["code"], "10 s" in answers[-1]["hint"]) == ("busy", True)
        assert (await client.ask(op="set"))["ok"]
        assert (await client.ask(op="deliver", bundle="good"))["ok"]
        server.rules = ME
        assert (await client.ask(op="renew"))["ok"]

    tell(story, tmp_path)


def test_an_ordinary_user_who_delivers_what_is_refused_in_a_loop_is_told_to_wait(tmp_path: Path) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        server.rules = ORDINARY
        good = [await client.ask(op="deliver", bundle="good") for _ in range(REFUSED_DELIVERIES.burst + 5)]
        assert all(one["ok"] for one in good)
        bad = [await client.ask(op="deliver", bundle="broken") for _ in range(REFUSED_DELIVERIES.burst + 5)]
        codes = [one["code"] for one in bad]
        assert codes[: REFUSED_DELIVERIES.burst] == ["signature"] * REFUSED_DELIVERIES.burst
        assert codes[-1] == "busy"

    tell(story, tmp_path)


def test_a_socket_that_is_bound_again_is_served_and_those_who_are_there_stay(tmp_path: Path) -> None:
    async def story(server: SocketServer, client: Client) -> None:
        assert (await client.ask(op="set"))["ok"]
        (tmp_path / "agent.sock").unlink()
        again = socket_file.bind(str(tmp_path / "agent.sock"))
        await server.start(again.sock)
        assert (await client.ask(op="set"))["ok"]
        assert (await (await client.another()).ask(op="set"))["ok"]

    tell(story, tmp_path)
