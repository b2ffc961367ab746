"""The module as Dask's preload: which servers it supplies, and what it does where it cannot."""

import asyncio
import os

import pytest

from credagent.worker import credagent_worker
from credagent.worker.credagent_worker import dask_setup, dask_teardown
from tests.standin import Running, StandIn


class Worker:
    address = "tcp://10.0.0.2:40000"


class Scheduler:
    address = "tcp://10.0.0.1:8786"


class CUDAWorker(Worker):
    pass


class Nanny:
    address = "tcp://10.0.0.2:40001"


class InProcess(Worker):
    address = "inproc://10.0.0.2/1/1"


@pytest.mark.parametrize(
    ("server", "role"), [(Worker(), "worker"), (CUDAWorker(), "worker"), (Scheduler(), "scheduler")]
)
def test_workers_and_schedulers_are_supplied_until_they_are_torn_down(
    agent: Running, server: object, role: str
) -> None:
    agent.agent.set({"DB": "1"})
    asyncio.run(dask_setup(server))
    assert os.environ["DB"] == "1"
    assert [one.role for one in agent.subscribers()] == [role]
    dask_teardown(server)
    assert credagent_worker._process().session is None


@pytest.mark.parametrize("server", [Nanny(), InProcess(), object()])
def test_other_processes_are_left_alone(agent: Running, server: object) -> None:
    agent.agent.set({"DB": "1"})
    asyncio.run(dask_setup(server))
    dask_teardown(server)
    assert "DB" not in os.environ


def test_the_event_loop_goes_on_while_the_agent_is_waited_for(path: str) -> None:
    os.environ["CREDAGENT_WORKER_WAIT"] = "1h"

    async def story() -> None:
        setup = asyncio.create_task(dask_setup(Worker()))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not setup.done()
        with await asyncio.to_thread(Running, path, StandIn(DB="1")):
            await setup
            assert os.environ["DB"] == "1"
            dask_teardown(Worker())

    asyncio.run(story())


def test_without_an_agent_a_worker_goes_on_or_leaves_as_it_is_told(path: str) -> None:
    os.environ["CREDAGENT_WORKER_WAIT"] = "0s"
    asyncio.run(dask_setup(Worker()))
    dask_teardown(Worker())
    os.environ["CREDAGENT_WORKER_MISSING"] = "exit"
    with pytest.raises(SystemExit) as caught:
        asyncio.run(dask_setup(Worker()))
    assert caught.value.code == 69
