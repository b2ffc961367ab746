"""What a person reads of a forwarding that goes on, and what comes before its end."""

import asyncio
from pathlib import Path

import pytest

from credagent.credentials import Slot, Statement
from credagent.forwarder import loop
from tests.patience import scaled
from tests.unit.forwarder.fake_cluster import FakeCluster, FakeMachine


def test_a_closed_client_does_not_end_it_which_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOOK_S", 0.01)
    looks: list[bool] = []
    looked_often = asyncio.Event()

    def is_client_closed() -> bool:
        looks.append(len(looks) >= 2)
        if len(looks) >= 5:
            looked_often.set()
        return looks[-1]

    async def run() -> None:
        said: list[str] = []
        async with (
            FakeCluster({"tcp://10.0.0.1:1": FakeMachine()}).running() as cluster,
            cluster.forwarded(tmp_path, said, is_client_closed=is_client_closed) as forwarder,
        ):
            async with asyncio.timeout(scaled(30)):
                await looked_often.wait()
            assert forwarder.state == "forwarding"
        assert said.count(loop.CLIENT_CLOSED) == 1

    asyncio.run(run())


def test_what_is_withdrawn_while_something_is_delivered_is_taken_back_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 0.2)

    async def story() -> None:
        async with FakeCluster({}).running() as cluster, cluster.forwarded(tmp_path) as forwarder:
            second = asyncio.Event()

            def withdraw(operation: str) -> None:
                if operation == "credagent-deliver" and late.texts:
                    second.set()
                elif operation == "credagent-deliver":
                    forwarder.withdraw()

            late = FakeMachine(answers=withdraw)
            cluster.machines["tcp://10.0.0.1:1"] = late
            async with asyncio.timeout(scaled(30)):
                await second.wait()
        assert late.opened().statement(Slot.ENVIRONMENT) is Statement.WITHDRAWN

    asyncio.run(story())
