"""What a person reads of machines that come and go: one line for a change, however many machines it is of."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from credagent.forwarder import loop, user_notices
from credagent.forwarder.user_notices import CHANGES_S, WHAT_IS_WELL, UserNotices
from tests.patience import scaled
from tests.unit.forwarder.fake_cluster import FakeCluster, FakeMachine


class SteppedTime:
    """A monotonic clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_set_that_changes_often_is_a_line_at_most_every_few_seconds_and_the_line_is_of_that_moment() -> None:
    said: list[str] = []
    time = SteppedTime()
    notices = UserNotices(said.append, monotonic=time)
    assert notices.say_of_a_set("absent", "no agent on a")
    for number in range(5):
        assert not notices.say_of_a_set("absent", f"no agent on a and {number} more")
    assert notices.say_of_a_set("refused", "b refused"), "another matter has its own time"
    time.seconds += CHANGES_S
    assert notices.say_of_a_set("absent", "no agent on a and 9 more")
    assert said == ["no agent on a", "b refused", "no agent on a and 9 more"]


def test_a_matter_that_closes_and_opens_again_is_not_a_line_each_time() -> None:
    said: list[str] = []
    time = SteppedTime()
    notices = UserNotices(said.append, monotonic=time)
    for _ in range(3):
        notices.say_of_a_set("silent", "no answer from a")
        notices.say_of_a_set("silent", "")
    assert said == ["no answer from a"]
    time.seconds += CHANGES_S
    assert notices.say_of_a_set("silent", "no answer from a")
    assert len(said) == 2


def forwarded_to_a_cluster_that_grows(folder: Path, notices: UserNotices, late: dict[str, FakeMachine]) -> None:
    """Forward to a machine, which `late` join; return when they have what they get, and forwarding has ended."""

    async def run() -> None:
        cluster = FakeCluster({"tcp://10.0.0.1:1": FakeMachine(claims={"host": "node-1"})})
        async with cluster.running(), cluster.forwarded(folder, notices=notices):
            cluster.machines |= late
            async with asyncio.timeout(scaled(30)):
                for machine in late.values():
                    await machine.delivered.wait()

    asyncio.run(run())


def node(number: int, **fields: Any) -> dict[str, FakeMachine]:
    return {f"tcp://10.0.0.{number}:1": FakeMachine(claims={"host": f"node-{number}"}, **fields)}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 0.1)


def test_machines_that_join_are_one_line_which_says_how_many_have_it(tmp_path: Path) -> None:
    said: list[str] = []
    forwarded_to_a_cluster_that_grows(tmp_path, UserNotices(said.append), {**node(2), **node(3)})
    first, late = (line for line in said if line.startswith("forwarded to "))
    assert first.startswith("forwarded to 1 machine (1 process)")
    assert late == "forwarded to node-2, node-3 too: 3 of 3 machines"


def test_of_machines_that_join_those_that_go_without_have_a_line_of_their_own_with_what_to_do(tmp_path: Path) -> None:
    said: list[str] = []
    late = {**node(2), **node(3, refuses="untrusted-sender")}
    forwarded_to_a_cluster_that_grows(tmp_path, UserNotices(said.append), late)
    assert "forwarded to node-2 too: 2 of 3 machines" in said
    (untrusting,) = [line for line in said if "node-3" in line]
    assert "run `credagent trust " in untrusting


def test_to_who_wants_to_hear_of_trouble_only_nothing_is_said_of_machines_that_join(tmp_path: Path) -> None:
    said: list[str] = []
    forwarded_to_a_cluster_that_grows(tmp_path, UserNotices(said.append, WHAT_IS_WELL), node(2))
    assert [line for line in said if "the scheduler" not in line] == []  # which has no agent here


def test_hundreds_of_machines_are_five_names_and_a_number() -> None:
    assert user_notices.hosts(f"node-{number:03}" for number in range(200)).endswith("node-004 and 195 more")
