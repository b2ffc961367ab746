"""Real Dask processes, by their own commands: supplied before the first task, and under running tasks ever after."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker_cluster import PATIENCE_S, Cluster, agent_at, short_folder
from tests.integration.worker_tasks import executing, hold_the_gil, own_preload, read, read_with_pid, wait_for

pytestmark = pytest.mark.xdist_group("dask")


def soon(happened: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One scheduler; two workers with nannies, started together; one without."""
    own = {"DASK_DISTRIBUTED__WORKER__PRELOAD": "tests.integration.worker_tasks"}
    with (
        short_folder() as folder,
        agent_at(folder, DB="first", AWS_REGION="eu") as agent,
        Cluster(agent, folder, **own) as cluster,
    ):
        # Asked for before there is a worker: each runs the moment that one has registered.
        cluster.first = [cluster.client.submit(read, pure=False) for _ in range(8)]
        cluster.add_worker("--nworkers", "2", "--nanny", name="pair", workers=2)
        cluster.add_worker("--no-nanny", name="alone")
        yield cluster


def change(cluster: Cluster, value: str) -> None:
    cluster.agent.replace({"DB": value, "AWS_REGION": "eu"})


def test_the_first_task_of_each_kind_of_worker_has_present_values(cluster: Cluster) -> None:
    assert cluster.client.gather(cluster.first) == ["first"] * 8
    assert cluster.on_workers(read) == {"pair-0": "first", "pair-1": "first", "alone": "first"}


def test_what_would_shadow_them_is_gone_before_the_first_task(cluster: Cluster) -> None:
    agent = cluster.agent.agent
    agent.document = {**agent.document, "scrub": ["AWS_PROFILE"]}  # the same object would say the same
    cluster.add_worker("--no-nanny", name="scrubbed", environ={"AWS_PROFILE": "mine"})
    found = cluster.client.submit(read, "AWS_PROFILE", workers=["scrubbed"], pure=False)
    assert found.result(PATIENCE_S) is None


def test_a_preload_and_an_import_path_of_the_users_own_are_still_there(cluster: Cluster) -> None:
    assert set(cluster.on_workers(own_preload).values()) == {"loaded"}
    assert cluster.client.run_on_scheduler(own_preload) is None  # he named it for workers


def test_the_scheduler_has_them_too(cluster: Cluster) -> None:
    assert cluster.client.run_on_scheduler(read) in {"first", *map(str, range(100))}


def test_a_running_task_sees_the_change_without_a_restart(cluster: Cluster) -> None:
    names = ("pair-0", "pair-1", "alone")
    present = cluster.on_workers(read_with_pid)
    before = {present[name][1] for name in names}
    tasks = [cluster.client.submit(wait_for, "20", workers=[name], pure=False) for name in names]  # one for each
    soon(lambda: sum(cluster.client.run(executing).values()) == len(tasks))
    change(cluster, "20")
    found = cluster.client.gather(tasks)
    assert set(found) == before
    assert cluster.client.run_on_scheduler(read) == "20"


def test_a_task_that_holds_the_gil_delays_it_until_it_lets_go_and_no_longer(cluster: Cluster, tmp_path: Path) -> None:
    held = tmp_path / "held"
    task = cluster.client.submit(hold_the_gil, "30", 5.0, str(held), workers=["alone"], pure=False)
    soon(held.exists)
    change(cluster, "30")
    assert task.result(PATIENCE_S) == "30"  # how soon is `make bench`'s to say


def test_the_status_shows_which_process_has_which_generation(cluster: Cluster) -> None:
    change(cluster, "40")
    pids = {pid for _, pid in cluster.on_workers(read_with_pid).values()}
    latest = cluster.agent.agent.generation
    listed = soon(lambda: [s for s in [cluster.agent.subscribers()] if {o.generation for o in s} == {latest}])[0]
    assert {one.pid for one in listed if one.role == "worker"} == pids
    assert [one.role for one in listed].count("scheduler") == 1


def test_a_worker_process_that_its_nanny_restarts_starts_with_present_values(cluster: Cluster) -> None:
    change(cluster, "50")
    soon(lambda: cluster.on_workers(read)["pair-0"] == "50")
    _, killed = cluster.on_workers(read_with_pid)["pair-0"]
    os.kill(killed, signal.SIGKILL)
    soon(lambda: killed not in {pid for _, pid in cluster.on_workers(read_with_pid).values()})
    value, _ = soon(lambda: cluster.on_workers(read_with_pid).get("pair-0"))
    assert value == "50"  # the nanny's own environment has no value at all
    soon(lambda: killed not in {one.pid for one in cluster.agent.subscribers()})


def test_an_agent_that_restarts_finds_every_process_again_and_none_lost_a_value(cluster: Cluster) -> None:
    change(cluster, "60")
    count = len(soon(lambda: [s for s in [cluster.agent.subscribers()] if len(s) >= 4])[0])
    cluster.agent.stop()
    time.sleep(0.5)
    assert set(cluster.on_workers(read).values()) == {"60"}
    change_while_away = {"DB": "61", "AWS_REGION": "eu"}
    cluster.agent.agent.set(change_while_away)
    cluster.agent.start()
    soon(lambda: len(cluster.agent.subscribers()) == count)
    soon(lambda: set(cluster.on_workers(read).values()) == {"61"})


def test_a_worker_that_starts_before_its_agent_waits_for_it(cluster: Cluster) -> None:
    change(cluster, "70")
    cluster.agent.stop()
    try:
        late = cluster.dask("worker", cluster.address, "--no-nanny", "--name", "late", "--no-dashboard")
        task = cluster.client.submit(read, workers=["late"], allow_other_workers=False, pure=False)
        time.sleep(2.0)
        assert "late" not in cluster.names().values()
    finally:
        cluster.agent.start()
    assert task.result(PATIENCE_S) == "70"
    assert late.poll() is None


def test_a_worker_of_a_specification_as_dask_cloudprovider_starts_it(cluster: Cluster) -> None:
    change(cluster, "80")
    specification = '{"cls": "dask.distributed.Nanny", "opts": {"nthreads": 1, "name": "specified"}}'
    cluster.dask("spec", cluster.address, "--spec", specification)
    task = cluster.client.submit(read, workers=["specified"], allow_other_workers=False, pure=False)
    assert task.result(PATIENCE_S) == "80"


def test_a_worker_without_an_agent_leaves_where_it_is_told_so(cluster: Cluster) -> None:
    environ = {"CREDAGENT_SOCKET": "/nowhere", "CREDAGENT_WORKER_WAIT": "0s", "CREDAGENT_WORKER_MISSING": "exit"}
    worker = cluster.dask("worker", cluster.address, "--no-nanny", "--name", "leaving", environ=environ)
    assert worker.wait(PATIENCE_S) == 69
