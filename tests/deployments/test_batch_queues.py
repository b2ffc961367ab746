"""Workers in batch jobs of a real SLURM, and the job scripts of the other batch systems."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments import pages
from tests.deployments.conftest import FIRST_LINE, SimulatedCloud
from tests.deployments.person import Person
from tests.deployments.slurm import NODES, Slurm
from tests.patience import scaled

JOBS_END_S = 60.0

pytestmark = [pytest.mark.timeout(420), pytest.mark.xdist_group("account")]  # one agent for one user


@pytest.fixture
def slurm(folder: Path) -> Iterator[Slurm]:
    (folder / "slurm").mkdir()
    with Slurm(folder / "slurm") as found:
        yield found


@pytest.fixture
def submitter(person: Person, slurm: Slurm) -> Person:
    """Return the person on the login node, whose home is on all nodes."""
    person.environ |= slurm.environ
    # What a site's administrators write: on which network the nodes reach a scheduler. Here it is loopback.
    person.write(
        ".config/dask/jobqueue.yaml",
        f"jobqueue: {{slurm: {{interface: lo, log-directory: {person.home}, death-timeout: 120}}}}\n",
    )
    return person


def test_the_page_leads_to_the_first_read(submitter: Person, cloud: SimulatedCloud, slurm: Slurm) -> None:
    for deed in pages.read("batch-queues").deeds:
        if isinstance(deed, pages.File):
            submitter.write(deed.name, deed.text)
        else:
            done = submitter.types(deed.text)
            assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == FIRST_LINE
    assert "the scheduler runs in your own process, which has your identity already" in done.stderr
    assert "no agent answers" not in done.stderr
    assert [name.partition("-")[0] for name in cloud.readers()] == ["session"], "a forwarded session, and no key"
    assert "jobs" not in slurm.ask("squeue", "-h")


LIFE = """
import os, sys, time
import credagent
from dask.distributed import Client
from dask_jobqueue import SLURMCluster

def who(_):
    import boto3, os
    boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")
    return os.environ["SLURMD_NODENAME"], os.environ["SLURM_JOB_ID"], os.environ["CREDAGENT_SOCKET"], os.getpid()

def die():
    import os
    os._exit(1)

if __name__ == "__main__":
    with (
        SLURMCluster(cores=1, memory="500MB", job_cpu=4, **credagent.jobqueue_options()) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=2)
        client.wait_for_workers(2, timeout=120)
        with credagent.forward_credentials(cluster) as forwarding:
            first = set(client.run(who, None).values())
            print("first", sorted(first), flush=True)
            cluster.scale(jobs=3)  # a third job, on the second node: it starts after forwarding has begun
            client.wait_for_workers(3, timeout=120)
            third = set(client.run(who, None).values()) - first
            print("third", sorted(third), flush=True)
            victim = sorted(client.scheduler_info(n_workers=-1)["workers"])[0]
            client.run(die, workers=[victim], on_error="ignore")
            while len(after := set(client.run(who, None, on_error="ignore").values())) < 3 or after & {None}:
                time.sleep(0.2)
            print("after", len({pid for *_, pid in after} - {pid for *_, pid in first | third}), flush=True)
            print("sockets", len({path for _, _, path, _ in after}), flush=True)
            began = time.monotonic()
            while time.monotonic() - began < 15:  # longer than half of a session's life
                client.run(who, None)
                time.sleep(0.5)
            machines = forwarding.status().machines
            print("machines", sorted(machine.state for machine in machines), flush=True)
"""


def test_jobs_of_one_user_on_one_node_a_late_job_a_killed_worker_and_renewal(
    submitter: Person, cloud: SimulatedCloud, slurm: Slurm
) -> None:
    cloud.remote.expire_after("sts", 24)
    submitter.write("life.py", LIFE)
    done = submitter.types("python life.py")
    assert done.returncode == 0
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    first, third = eval(said["first"]), eval(said["third"])  # noqa: S307  what our own program has printed
    assert [node for node, *_ in first] == [NODES[0], NODES[0]], "two jobs share the first node"
    assert [node for node, *_ in third] == [NODES[1]]
    assert said["after"] == "1", "the nanny has started one process anew, which read like the others"
    assert said["sockets"] == "3", "an agent a job, two of them on one node"
    assert said["machines"] == "['admitted', 'admitted', 'admitted']"
    sessions = cloud.readers()
    assert {name.rpartition("-")[0] for name in sessions} == {"session-token"}
    assert len(sessions) > 1, "renewed under running workers"
    assert {call["code"] for call in cloud.remote.log("s3", "GetObject")} == {"ok"}
    assert not list(Path("/tmp").glob("credagent.*")), "a job leaves nothing behind"


RESTARTS = """
import json, os, sys, time
import credagent
from dask.distributed import Client
from dask_jobqueue import SLURMCluster

def read():
    import boto3, os
    boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")
    return os.environ["SLURM_JOB_ID"]

if __name__ == "__main__":
    cluster = SLURMCluster(cores=1, memory="500MB", job_cpu=4, **credagent.jobqueue_options())
    cluster.scale(jobs=2)
    client = Client(cluster)
    client.wait_for_workers(2, timeout=120)
    forwarding = credagent.forward_credentials(cluster)
    print(json.dumps(sorted(client.run(read).values())), flush=True)
    if sys.argv[1:] == ["dies"]:
        os.kill(os.getpid(), 9)  # the scheduler is in this process
    cluster.close()
"""


def test_jobs_end_with_a_scheduler_that_dies_and_those_of_the_next_one_are_served(
    submitter: Person, cloud: SimulatedCloud, slurm: Slurm
) -> None:
    """The scheduler is in the process of whoever submits, and so is its TLS: nobody else takes its place."""
    submitter.write("restarts.py", RESTARTS)
    died = submitter.types("python restarts.py dies")
    assert died.returncode == -signal.SIGKILL
    give_up = time.monotonic() + scaled(JOBS_END_S)
    while slurm.ask("squeue", "-h"):
        assert time.monotonic() < give_up, "jobs whose scheduler is gone end by themselves"
        time.sleep(0.2)
    assert not list(Path("/tmp").glob("credagent.*")), "a job leaves nothing behind"
    again = submitter.types("python restarts.py")
    assert again.returncode == 0
    assert "forwarded to 2 machines" in again.stderr
    assert not set(json.loads(died.stdout)) & set(json.loads(again.stdout)), "other jobs"
    assert {name.rpartition("-")[0] for name in cloud.readers()} == {"session-token"}, (
        "no worker read as the home's key"
    )
    assert {call["code"] for call in cloud.remote.log("s3", "GetObject")} == {"ok"}


@pytest.mark.parametrize(
    "kind", ["SLURMCluster", "PBSCluster", "LSFCluster", "SGECluster", "OARCluster", "MoabCluster", "HTCondorCluster"]
)
def test_the_job_script_of_each_batch_system_starts_the_worker_through_an_agent(kind: str, person: Person) -> None:
    """The script is run as the batch system would, with a program in the place of Dask's that shows where it is."""
    more = {"HTCondorCluster": 'disk="1GB", ', "LSFCluster": 'lsf_units="mb", '}.get(kind, "")
    person.write(".config/dask/jobqueue.yaml", f"jobqueue: {{{kind[:-7].lower()}: {{interface: lo}}}}\n")
    program = (
        "import credagent, dask_jobqueue\n"
        f"cluster = dask_jobqueue.{kind}(cores=1, memory='1GB', {more}**credagent.jobqueue_options())\n"
        "print(cluster.job_script())\n"
        "cluster.close()\n"
    )
    person.write("script.py", program)
    made = person.types("python script.py")
    assert made.returncode == 0
    script = made.stdout
    if kind == "HTCondorCluster":
        (arguments,) = (line for line in script.splitlines() if line.startswith("Arguments"))
        assert "$(" not in arguments, "a macro of HTCondor's"
        quoted = arguments.removeprefix('Arguments = "').removesuffix('"')
        script = quoted.removeprefix("-c '").removesuffix("'").replace("''", "'").replace('""', '"')
    script = script.replace("distributed.cli.dask_worker", "shown")
    person.write("shown.py", "import os\nprint(os.environ['CREDAGENT_SOCKET'], os.environ['PYTHONPATH'])\n")
    person.write("job.sh", script)
    done = person.types("sh job.sh", CREDAGENT_SOCKET="/somewhere/on/the/login/node")
    assert done.returncode == 0
    socket, path = done.stdout.split()[-2:]
    assert socket.startswith("/tmp/credagent.")
    assert not Path(socket).parent.exists(), "the job's folder has gone with it"
    assert path.endswith("worker")


def test_nothing_secret_stands_in_a_job_script(person: Person) -> None:
    done = person.types("python -c 'import credagent; print(credagent.jobqueue_options())'")
    key = (person.home / ".config/credagent/sender.key").read_text().strip()
    assert done.returncode == 0
    assert (person.home / ".config/credagent/sender.pub").read_text().strip() in done.stdout
    assert key not in done.stdout + done.stderr
    assert (person.home / ".config/credagent").stat().st_mode & 0o777 == 0o700
