"""What a person reads of a forwarding that goes on, and what comes before its end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.credentials import Slot, Statement
from credagent.dask_cluster import answer_limits, scheduler_address
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.errors import Unavailable
from credagent.forwarder import competing_forwarders, loop, machine_reconciler
from tests.patience import scaled
from tests.unit.forwarder.fake_cluster import SENDER, FakeCluster, FakeMachine


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


class WhoseForwarderGoes(FakeCluster):
    """A cluster whose forwarder takes everything back, and goes, just when somebody looks whether it is there."""

    async def _answer(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> Any:
        if message["op"] != "events":
            return await super()._answer(message, writer)
        for machine in self.machines.values():
            machine.forwarder["forwarder_ended"] = competing_forwarders.WITHDRAWN
        return []  # nothing was logged of a client of that name


def test_who_stands_by_learns_how_the_other_ended_although_it_was_asked_just_before(tmp_path: Path) -> None:
    """What was taken back is not given again by the one that stood by."""

    async def story() -> None:
        machine = FakeMachine(forwarder={"forwarder": "credagent-forward-x", "forwarder_sender": SENDER.key_id})
        async with WhoseForwarderGoes({"tcp://10.0.0.1:1": machine}).running() as cluster:
            cluster.note = "credagent-forward-x"
            async with cluster.forwarded(tmp_path, stands_by=True) as forwarder:
                assert forwarder.state == "replaced"
        assert machine.texts == []

    asyncio.run(story())


def test_each_reason_for_which_it_is_not_connected_again_is_said_once_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONNECT_S", 0.01)
    reasons = ["unreachable", "unreachable", "tls-failed", "unreachable"]

    async def story() -> None:
        said: list[str] = []
        async with FakeCluster({"tcp://10.0.0.1:1": FakeMachine()}).running() as cluster:

            def whereabouts() -> SchedulerAddress:
                if was_there and reasons:
                    code = reasons.pop(0)
                    raise Unavailable(code, f"because of {code}", what="scheduler", hint=f"mend {code}")
                return scheduler_address.parse(f"tcp://127.0.0.1:{cluster.port}")

            was_there = False
            async with cluster.forwarded(tmp_path, said, whereabouts=whereabouts) as forwarder:
                was_there = True
                cluster.drop_listeners()
                async with asyncio.timeout(scaled(30)):
                    await cluster.listened.wait()
            assert forwarder.state == "stopped"
        interrupted = "interrupted (scheduler: because of {0}); trying again for as long as it takes. mend {0}"
        ended = "interrupted (dask: the connection to the scheduler ended); trying again for as long as it takes"
        assert [told for told in said if "interrupted" in told or "connected" in told] == [
            ended,
            interrupted.format("unreachable"),
            interrupted.format("tls-failed"),
            "connected again; what you had on the cluster in futures is lost to Dask itself",
        ]

    asyncio.run(story())


@pytest.mark.parametrize("operation", ["credagent-report", "credagent-deliver"])
def test_nobody_waits_for_a_new_revision_until_a_machine_that_hangs_is_given_up(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 0.2)
    monkeypatch.setattr(machine_reconciler, "STALLED_S", 1e6)
    for kind in ("REPORT", "DELIVERY"):
        monkeypatch.setattr(answer_limits, kind, replace(getattr(answer_limits, kind), deadline_s=1e6))

    async def story() -> None:
        good = FakeMachine()
        async with (
            FakeCluster({"tcp://10.0.0.1:1": good}).running() as cluster,
            cluster.forwarded(tmp_path) as forwarder,
        ):
            hangs = asyncio.Event()

            def hang_once(asked: str) -> asyncio.Event | None:
                if asked != operation or hangs.is_set():
                    return None
                hangs.set()
                return asyncio.Event()

            cluster.machines["tcp://10.0.0.1:2"] = FakeMachine(answers=hang_once)
            async with asyncio.timeout(scaled(30)):
                await hangs.wait()
                forwarder.withdraw()
                while good.opened().statement(Slot.ENVIRONMENT) is not Statement.WITHDRAWN:
                    good.delivered.clear()
                    await good.delivered.wait()

    asyncio.run(story())
