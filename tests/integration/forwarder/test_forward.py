"""`forward_credentials` with real scheduler, workers and agents: what arrives, and what is said."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import distributed

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder.forward_credentials import OWN, forward_credentials
from tests.integration.forwarder.play import READ, SECRET, Said, address_of, client_of, small, token_on
from tests.integration.forwarder.stage import Stage, within
from tests.patience import scaled


def test_one_line_reaches_every_machine_once_and_every_process(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    machines = [stage.machine(name, key.public_key.line) for name in "abc"]
    stage.start_scheduler(machines[0])
    for machine, name in ((machines[1], "b1"), (machines[1], "b2"), (machines[2], "c1")):
        stage.start_worker(machine, name)
    with client_of(stage, 3) as client, forward() as forwarding:
        status = forwarding.status()
        assert status.state == "forwarding"
        assert {machine.state for machine in status.machines} == {"admitted"}
        assert sorted(machine.processes for machine in status.machines) == [1, 1, 2]
        assert [token_on(client, name) for name in ("b1", "b2", "c1")] == [SECRET] * 3
        assert client.run_on_scheduler(eval, READ) == SECRET
        # A worker process that its nanny restarts starts with what its agent has.
        client.restart_workers([address_of(client, "c1")], timeout=scaled(60))
        client.wait_for_workers(3, timeout=scaled(60))
        assert token_on(client, "c1") == SECRET
    assert said.about("forwarded to 3 machines (4 processes)")
    assert SECRET not in "".join(said) + repr(forwarding) + str(status)
    assert "DB_TOKEN" not in os.environ
    assert SECRET not in stage.logs()


def test_withdraw_takes_it_away_and_says_where(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    with client_of(stage, 1) as client:
        forwarding = forward()
        assert token_on(client, "a") == SECRET
        status = forwarding.withdraw()
        assert status.state == "withdrawn"
        assert [machine.state for machine in status.machines] == ["admitted"]
        assert [machine.taken_back for machine in status.machines] == [("environment",)]
        assert "taken back: environment" in str(status)
        assert a.ask("status")["slots"]["environment"]["statement"] == "withdrawn"
        within(15, lambda: token_on(client, "a") != SECRET, "the value is overwritten")


def test_machines_without_an_agent_are_named_and_the_rest_is_served(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    stage.start_worker(stage.machine("bare", agent=False), "bare", "--no-nanny")
    with client_of(stage, 2) as client, forward() as forwarding:
        assert token_on(client, "a") == SECRET
        assert token_on(client, "bare") == "none"
        assert [fault for _, fault in forwarding.status().faults] == ["no-agent"]
    assert said.about("no agent answers on")


def test_an_asynchronous_client_is_served_without_stopping_its_loop(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")

    async def story() -> str:
        async with distributed.Client(stage.scheduler, asynchronous=True, set_as_default=False) as client:
            await client.wait_for_workers(1)
            async with forward(client) as forwarding:
                assert forwarding.status().state == "forwarding"
                return str(await client.submit(eval, READ, pure=False))

    assert asyncio.run(story()) == SECRET


def test_a_local_cluster_is_told_that_it_has_the_identity_already(said: Said) -> None:
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        forward_credentials(cluster, environ={"DB_TOKEN": SECRET}, say=said.append) as forwarding,
    ):
        assert forwarding.status().state == "own"
    assert said == [OWN]
    assert "DB_TOKEN" not in os.environ
