"""Clusters of a real Dask Gateway: through its proxy, by the cluster's own certificate."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments import pages
from tests.deployments.conftest import FIRST_LINE, SimulatedCloud
from tests.deployments.gateway import DaskGateway
from tests.deployments.person import READS_EVERYWHERE, Person

pytestmark = [pytest.mark.timeout(420), pytest.mark.xdist_group("account")]  # one agent for one user


@pytest.fixture
def gateway(folder: Path, person: Person) -> Iterator[DaskGateway]:
    (folder / "gateway").mkdir()
    with DaskGateway(folder / "gateway", person) as found:
        auth = f"{{type: basic, kwargs: {{username: {person.account.pw_name}}}}}"
        # What a site gives its people: where the gateway is, and who they are there.
        person.write(".config/dask/gateway.yaml", f"gateway: {{address: '{found.address}', auth: {auth}}}\n")
        yield found


def follow(page: pages.Page, person: Person, gateway: DaskGateway) -> str:
    """Do what the page says, in its order; return what the last line printed."""
    said = ""
    for deed in page.deeds:
        match deed:
            case pages.File() if deed.name == "dask_gateway_config.py":
                gateway.configure(deed.name, deed.text)
            case pages.File():
                person.write(deed.name, deed.text)
            case pages.Line() if deed.as_root:
                gateway.start(deed.text)
            case _:
                done = person.types(deed.text)
                assert done.returncode == 0
                said = done.stdout
    return said


def test_the_page_leads_to_the_first_read(gateway: DaskGateway, person: Person, cloud: SimulatedCloud) -> None:
    assert follow(pages.read("dask-gateway"), person, gateway).splitlines()[-1] == FIRST_LINE
    assert cloud.readers() == ["session-token-1"]


LIFE = """
import subprocess, sys
from pathlib import Path
import credagent
from dask_gateway import Gateway

def on_scheduler(dask_scheduler):
    import boto3
    return len(boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")["Body"].read())

sender = Path("~/.config/credagent/sender.pub").expanduser().read_text().strip()
with Gateway() as gateway, gateway.new_cluster(sender=sender) as cluster, cluster.get_client() as client:
    cluster.scale(1)
    client.wait_for_workers(1, timeout=120)
    forwarding = credagent.forward_credentials(client)  # a client of the cluster does as well
    print("client", len(everywhere(client, 1)), flush=True)
    print("scheduler", client.run_on_scheduler(on_scheduler), flush=True)
    cluster.scale(2)
    print("late", len(everywhere(client, 2)), flush=True)
    loses_one(client, 2)
    print("killed", 1, flush=True)
    keeps_reading(client)
    print("renewed", len(everywhere(client, 2)), flush=True)
    forwarding.stop()

    Path("cluster.crt").write_text(cluster.security.tls_cert)
    Path("cluster.pem").touch(mode=0o600)
    Path("cluster.pem").write_text(cluster.security.tls_key)
    command = ["credagent", "forward", "--scheduler", cluster.scheduler_address, "--tls-cert", "cluster.crt"]
    apart = subprocess.run([*command, "--tls-key", "cluster.pem", "--once"], capture_output=True, text=True)
    print("apart", apart.returncode, flush=True)
    print(apart.stdout, apart.stderr, file=sys.stderr)
"""


def test_a_client_a_late_worker_a_killed_one_renewal_the_scheduler_and_a_process_of_its_own(
    gateway: DaskGateway, person: Person, cloud: SimulatedCloud
) -> None:
    page = pages.read("dask-gateway")
    follow(pages.Page("", page.steps[:2]), person, gateway)
    cloud.remote.expire_after("sts", 24)
    person.write("life.py", READS_EVERYWHERE + LIFE)
    done = person.types("python life.py")
    assert done.returncode == 0
    said = dict(line.split() for line in done.stdout.splitlines())
    assert said == {"client": "1", "scheduler": "8", "late": "2", "killed": "1", "renewed": "2", "apart": "0"}
    assert len(cloud.readers()) > 1, "renewed under running workers"
    assert {call["code"] for call in cloud.remote.log("s3", "GetObject")} == {"ok"}
    assert {name.rpartition("-")[0] for name in cloud.readers()} == {"session-token"}


RESTARTS = """
import os, signal, subprocess, sys
from pathlib import Path
import credagent
from dask_gateway import Gateway

def until(state):
    while forwarding.status().state != state:
        time.sleep(0.1)

sender = Path("~/.config/credagent/sender.pub").expanduser().read_text().strip()
with Gateway() as gateway:
    with gateway.new_cluster(sender=sender) as cluster, credagent.forward_credentials(cluster) as forwarding:
        cluster.scale(1)
        with cluster.get_client() as client:
            everywhere(client, 1)
        print("gateway", flush=True)  # it is restarted now
        until("reconnecting")
        until("forwarding")
        cluster.scale(2)
        with cluster.get_client() as client:
            everywhere(client, 2)
            process = client.run_on_scheduler(os.getpid)
        print("scheduler", flush=True)
        os.kill(process, signal.SIGKILL)
        until("reconnecting")
        with gateway.new_cluster(sender=sender) as second, credagent.forward_credentials(second):
            second.scale(1)
            with second.get_client() as client:
                everywhere(client, 1)
        assert forwarding.status().state == "reconnecting"
        try:
            credagent.forward_credentials(cluster)
        except credagent.errors.Unavailable as error:
            print(error.code, error.exit_code.value, flush=True)
        Path("cluster.crt").write_text(cluster.security.tls_cert)
        Path("cluster.pem").touch(mode=0o600)
        Path("cluster.pem").write_text(cluster.security.tls_key)
        command = ["credagent", "forward", "--scheduler", cluster.scheduler_address, "--tls-cert", "cluster.crt"]
        apart = subprocess.run([*command, "--tls-key", "cluster.pem"], capture_output=True, text=True)
        print("apart", apart.returncode, flush=True)
        print(apart.stderr, file=sys.stderr)
"""


def test_a_restarted_gateway_is_waited_for_and_of_a_scheduler_that_is_gone_one_sentence_says_so(
    gateway: DaskGateway, person: Person, cloud: SimulatedCloud
) -> None:
    page = pages.read("dask-gateway")
    follow(pages.Page("", page.steps[:2]), person, gateway)
    cloud.remote.expire_after("sts", 60)
    person.write("restarts.py", READS_EVERYWHERE + RESTARTS)
    errors = person.home / "errors"
    with errors.open("wb") as file:
        process = person.starts("timeout 300 python restarts.py", stdout=subprocess.PIPE, stderr=file)
        assert process.stdout is not None
        said = []
        for told in process.stdout:
            said.append(told.strip())
            if told == "gateway\n":
                gateway.restart()
    ended = process.wait()  # its own time-outs end it
    told = errors.read_text()
    print(said, told)
    assert ended == 0
    assert said == ["gateway", "scheduler", "no-cluster 69", "apart 69"]
    about = [line for line in told.splitlines() if line.startswith("credagent: interrupted")]
    assert about[-1].count("the gateway has no scheduler for this cluster") == 1
    assert len([line for line in about if "no scheduler" in line]) <= 2, "once for each interruption"
    assert told.count("connected again") == 1
    assert "Gateway().list_clusters()" in told.rpartition("credagent: error")[-1], "the remedy of the separate process"
    assert {name.rpartition("-")[0] for name in cloud.readers()} == {"session-token"}
    assert {call["code"] for call in cloud.remote.log("s3", "GetObject")} == {"ok"}
