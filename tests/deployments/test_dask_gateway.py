"""Clusters of a real Dask Gateway: through its proxy, by the cluster's own certificate."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments import pages
from tests.deployments.conftest import FIRST_LINE, SimulatedCloud
from tests.deployments.gateway import DaskGateway
from tests.deployments.person import Person

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
import os, subprocess, sys, time
from pathlib import Path
import credagent
from dask_gateway import Gateway

def read():
    import boto3, os
    boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")
    return os.getpid()

def on_scheduler(dask_scheduler):
    import boto3
    return len(boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")["Body"].read())

def die():
    import os
    os._exit(1)

def everywhere(client, number):
    while len(found := [pid for pid in client.run(read, on_error="ignore").values() if isinstance(pid, int)]) != number:
        time.sleep(0.2)
    return set(found)

sender = Path("~/.config/credagent/sender.pub").expanduser().read_text().strip()
with Gateway() as gateway, gateway.new_cluster(sender=sender) as cluster, cluster.get_client() as client:
    cluster.scale(1)
    client.wait_for_workers(1, timeout=120)
    forwarding = credagent.forward_credentials(client)  # a client of the cluster does as well
    print("client", len(everywhere(client, 1)), flush=True)
    print("scheduler", client.run_on_scheduler(on_scheduler), flush=True)
    cluster.scale(2)
    print("late", len(everywhere(client, 2)), flush=True)
    before = everywhere(client, 2)
    client.run(die, workers=list(client.scheduler_info(n_workers=-1)["workers"])[:1], on_error="ignore")
    while len(everywhere(client, 2) - before) != 1:
        time.sleep(0.2)
    print("killed", 1, flush=True)
    began = time.monotonic()
    while time.monotonic() - began < 15:  # longer than half of a session's life
        client.run(read)
        time.sleep(0.5)
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
    person.write("life.py", LIFE)
    done = person.types("python life.py")
    assert done.returncode == 0
    said = dict(line.split() for line in done.stdout.splitlines())
    assert said == {"client": "1", "scheduler": "8", "late": "2", "killed": "1", "renewed": "2", "apart": "0"}
    assert len(cloud.readers()) > 1, "renewed under running workers"
    assert {call["code"] for call in cloud.remote.log("s3", "GetObject")} == {"ok"}
    assert {name.rpartition("-")[0] for name in cloud.readers()} == {"session-token"}
