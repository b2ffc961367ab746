"""Workers that somebody starts himself, without root: on the machine he sits at, and on machines he reaches by SSH."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.deployments import pages
from tests.deployments.conftest import CLOSED, FIRST_LINE, SimulatedCloud
from tests.deployments.person import BIN, READS_EVERYWHERE, Person
from tests.deployments.reader import following
from tests.deployments.ssh_machines import Bridge, ssh, ssh_machines
from tests.ending import kill_tree
from tests.ports import free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("bridge")]  # one network of one address


def test_without_root_the_page_leads_to_the_first_read(person: Person, cloud: SimulatedCloud) -> None:
    port = free_port()
    person.environ["XDG_RUNTIME_DIR"] = str(person.home / "run")
    (person.home / "run").mkdir(mode=0o700)
    person.own(person.home / "run")
    with following(pages.read("without-root"), person, {"8786": str(port)}) as said:
        assert said.splitlines()[-1] == FIRST_LINE
        assert cloud.readers() == ["session-token-1"]
        shown = person.types("credagent status")
        assert shown.returncode == 0
        assert "bundle" in shown.stdout


@pytest.fixture
def network() -> Iterator[Bridge]:
    with Bridge("node-1", "node-2") as found:
        yield found


@pytest.fixture
def reachable_cloud(tmp_path: Path, network: Bridge) -> Iterator[SimulatedCloud]:
    everywhere = ("--bind", network.own_address, "--listen", f"admin=127.0.0.1:{free_port()}")
    with Stage(tmp_path) as stage:
        yield SimulatedCloud(stage, *everywhere)


@pytest.fixture
def owner(folder: Path, network: Bridge, reachable_cloud: SimulatedCloud) -> Iterator[Person]:
    """The person, whom sshd lets in on each machine."""
    found = Person(folder, {**reachable_cloud.environ, **CLOSED})
    found.has_identity(reachable_cloud.user["access_key_id"], reachable_cloud.user["secret_access_key"])
    (folder / "sshd").mkdir()
    with ssh_machines(network, found, folder / "sshd", {**reachable_cloud.environ, **CLOSED}):
        yield found


def test_by_ssh_the_page_leads_to_the_first_read(owner: Person, reachable_cloud: SimulatedCloud) -> None:
    with following(pages.read("ssh-cluster"), owner, {}) as said:
        assert said.splitlines()[-1] == FIRST_LINE
        assert reachable_cloud.readers() == ["session-token-1"]


# Forwards, adds a worker, loses one, renews; then the scheduler dies, and somebody starts it and workers again by hand.
LIFE = """
import os, sys
import credagent
from dask.distributed import Client, SSHCluster

python, hosts = sys.executable, ["node-1", "node-1", "node-2"]
options = {"port": 8786, "dashboard_address": ":0"}
cluster = SSHCluster(hosts, remote_python=f"{python} -m credagent exec -- {python}", scheduler_options=options)
with Client(cluster) as client:
    client.wait_for_workers(2, timeout=60)
    forwarding = credagent.forward_credentials(client, trust="first-use")
    everywhere(client, 2)
    print("first", flush=True)  # somebody starts a third worker now
    loses_one(client, 3)
    print("killed", flush=True)
    keeps_reading(client)
    print("renewed", flush=True)
    try:
        client.run_on_scheduler(die)
    except OSError:
        pass
while forwarding.status().state != "reconnecting":
    time.sleep(0.1)
print("scheduler", flush=True)  # somebody starts it again now, and workers
while forwarding.status().state != "forwarding":
    time.sleep(0.1)
with Client(cluster.scheduler_address) as client:
    client.wait_for_workers(2, timeout=60)
    everywhere(client, 2)
    keeps_reading(client)
print("again", sorted(machine.state for machine in forwarding.status().machines), flush=True)
os._exit(0)  # to close the cluster would end what is not its own
"""


def test_by_ssh_a_late_worker_a_killed_one_renewal_and_a_scheduler_that_somebody_starts_again(
    owner: Person, network: Bridge, reachable_cloud: SimulatedCloud
) -> None:
    page = pages.read("ssh-cluster")
    reachable_cloud.remote.expire_after("sts", 24)
    owner.write("life.py", READS_EVERYWHERE + LIFE)
    scheduler = f"{network.address('node-1')}:8786"
    with contextlib.ExitStack() as running, following(pages.Page("", page.steps[:3]), owner, {}):

        def start(machine: str, line: str) -> None:
            through = f"{ssh(network, owner, machine)} {BIN}/python -m credagent exec -- {BIN}/dask {line}"
            running.callback(kill_tree, owner.starts(f"exec {through}", stdout=2))

        process = owner.starts("timeout 240 python life.py", stdout=subprocess.PIPE)
        running.callback(kill_tree, process)
        assert process.stdout is not None
        said = []
        for told in process.stdout:
            said.append(told.strip())
            if told == "first\n":
                start("node-2", f"worker {scheduler}")
            if told == "scheduler\n":
                sessions = reachable_cloud.readers()
                again = reachable_cloud.remote.last_seq()
                start("node-1", f"scheduler --host {scheduler.partition(':')[0]} --port 8786")
                for machine in network.names:
                    start(machine, f"worker {scheduler}")
        assert process.wait() == 0  # its own time-outs end it
    assert said == ["first", "killed", "renewed", "scheduler", "again ['admitted', 'admitted']"]
    assert len(sessions) > 1, "renewed under running workers"
    assert set(reachable_cloud.readers(again)) - set(sessions), "renewed under those of the next scheduler, too"
    assert {name.rpartition("-")[0] for name in reachable_cloud.readers()} == {"session-token"}
    assert {call["code"] for call in reachable_cloud.remote.log("s3", "GetObject")} == {"ok"}
