"""The files for Kubernetes: sound by the published schemas, and pods of them read as the page says."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from tests.demo.stage import Stage
from tests.deployments import pages, schemas
from tests.deployments.conftest import CLOSED, FIRST_LINE, SimulatedCloud
from tests.deployments.dask_operator import NAMESPACE, DaskOperator, api_server
from tests.deployments.person import READS_EVERYWHERE, Person
from tests.deployments.pods import Kubelet
from tests.deployments.reader import following
from tests.deployments.ssh_machines import Bridge
from tests.ending import kill_tree
from tests.ports import free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("bridge")]  # one network of one address
POD_IDENTITY = "169.254.170.23"  # where EKS's agent for it listens on each node
MACHINES = ("scheduler", "worker-1", "worker-2", "late")


def resource(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((pages.FOLDER / name).read_text())
    return document


def test_the_operators_schema_knows_every_field_of_the_cluster() -> None:
    assert list(schemas.pruned(resource("dask-cluster.yaml"), schemas.crd("DaskCluster"))) == []


def test_kubernetes_knows_every_field_of_the_pods() -> None:
    cluster = resource("dask-cluster.yaml")["spec"]
    assert list(schemas.unknown(resource("pod-with-agent.yaml"), "V1Pod")) == []
    for role in ("worker", "scheduler"):
        assert list(schemas.unknown(cluster[role]["spec"], "V1PodSpec")) == []
    assert list(schemas.unknown(cluster["scheduler"]["service"], "V1ServiceSpec")) == []


def test_the_operators_schema_drops_what_makes_a_sidecar_as_the_page_says() -> None:
    cluster, pod = resource("dask-cluster.yaml"), resource("pod-with-agent.yaml")
    cluster["spec"]["worker"]["spec"]["initContainers"] = pod["spec"]["initContainers"]
    dropped = list(schemas.pruned(cluster, schemas.crd("DaskCluster")))
    assert dropped == [".spec.worker.spec.initContainers[0].restartPolicy"]


class Cluster:
    """A Kubernetes of one person: what `kubectl` does, in this test's words."""

    def __init__(self, folder: Path, network: Bridge, cloud: SimulatedCloud, person: Person) -> None:
        self.kubelet = Kubelet(folder, network, {**cloud.environ, **CLOSED})
        for suffix in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc.cluster.local"):
            self.kubelet.name(f"lab-scheduler{suffix}", "scheduler")
        self.operator = DaskOperator(self.kubelet, MACHINES)
        self._person = person

    def kubectl(self, line: str) -> None:
        """Do what a line says that begins with kubectl."""
        match shlex.split(line):
            case ["kubectl", "create", "secret", "generic", name, source]:
                path = self._person.home / source.removeprefix("--from-file=")
                self.kubelet.secrets[name] = {path.name: path.read_bytes()}
            case ["kubectl", "apply", "-f", "dask-cluster.yaml"]:
                self.apply()
            case ["kubectl", "port-forward", *_]:
                pass  # this machine reaches its pods
            case words:
                pytest.fail(f"nobody does this here: {words}")

    def apply(self, **variables: str) -> None:
        """Start the pods that the operator makes of the cluster; a webhook adds `variables`."""
        self.operator.create(yaml.safe_load(self.resource("dask-cluster.yaml")), **variables)

    def resource(self, name: str) -> str:
        """Return one of the files, with the person's key in it."""
        line = (self._person.home / ".config/credagent/sender.pub").read_text().strip()
        return (pages.FOLDER / name).read_text().replace("credagent-sender:ed25519:…", line)


@pytest.fixture
def network() -> Iterator[Bridge]:
    with Bridge(*MACHINES) as found:
        yield found


@pytest.fixture
def cluster_cloud(tmp_path: Path, network: Bridge) -> Iterator[SimulatedCloud]:
    admin = free_port()
    with Stage(tmp_path) as stage:
        network.also_has(POD_IDENTITY)
        faces = (f"admin=127.0.0.1:{admin}", f"container={POD_IDENTITY}:80")
        yield SimulatedCloud(
            stage, "--bind", network.own_address, *(word for face in faces for word in ("--listen", face))
        )


@pytest.fixture
def owner(folder: Path, cluster_cloud: SimulatedCloud) -> Person:
    found = Person(folder, {**cluster_cloud.environ, **CLOSED})
    found.has_identity(cluster_cloud.user["access_key_id"], cluster_cloud.user["secret_access_key"])
    return found


@pytest.fixture
def cluster(folder: Path, network: Bridge, cluster_cloud: SimulatedCloud, owner: Person) -> Iterator[Cluster]:
    (folder / "pods").mkdir()
    found = Cluster(folder / "pods", network, cluster_cloud, owner)
    yield found
    found.kubelet.close()


def test_the_page_leads_to_the_first_read(
    cluster: Cluster, owner: Person, network: Bridge, cluster_cloud: SimulatedCloud
) -> None:
    here: Mapping[str, str] = {"localhost": network.address("scheduler")}
    with following(pages.read("kubernetes"), owner, here, {"kubectl": cluster.kubectl}) as said:
        assert said.splitlines()[-1] == FIRST_LINE
    assert cluster_cloud.readers() == ["session-token-1"]
    assert "PermissionRefused" not in cluster.kubelet.logs()


AS_THE_POD = """
from dask.distributed import Client

def read():
    import boto3
    boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")

with Client("tcp://SCHEDULER:8786", timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
    client.run(read)
"""


@pytest.mark.parametrize("webhook", ["web-identity", "container"])
def test_where_nothing_was_sent_a_pod_reads_as_its_service_account(
    cluster: Cluster, owner: Person, network: Bridge, cluster_cloud: SimulatedCloud, webhook: str
) -> None:
    """EKS's webhook adds two variables and a token to every container: for web identity, or for Pod Identity."""
    cluster_cloud.remote.create_role("pod")
    cluster_cloud.remote.trust_web_identity("header.claims.signature")
    cluster_cloud.remote.container(role="pod", pod_token="header.claims.signature")
    token = owner.home.parent / "token"
    token.write_text("header.claims.signature")
    token.chmod(0o600)  # of the container's user
    os.chown(token, 1000, 1000)
    with following(pages.Page("", pages.read("kubernetes").steps[:1]), owner, {}, {"kubectl": cluster.kubectl}):
        role = f"arn:aws:iam::{cluster_cloud.user['principal'].split(':')[4]}:role/pod"
        if webhook == "web-identity":
            cluster.apply(AWS_ROLE_ARN=role, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
        else:
            uri = f"http://{POD_IDENTITY}/v1/credentials"
            cluster.apply(AWS_CONTAINER_CREDENTIALS_FULL_URI=uri, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token))
        owner.write("as_the_pod.py", AS_THE_POD.replace("SCHEDULER", network.address("scheduler")))
        assert owner.types("timeout 120 python as_the_pod.py").returncode == 0
    assert {name.rpartition("-")[0] for name in cluster_cloud.readers()} == {webhook}


# Workers that are there before a forwarder has come (back) start with what their pods have: nothing.
UNTIL_READ = "timeout 150 sh -c 'until python read.py; do sleep 1; done'"


def test_a_scheduler_and_workers_that_are_restarted_are_served_again(
    cluster: Cluster, owner: Person, network: Bridge, cluster_cloud: SimulatedCloud
) -> None:
    """Forwarded by a process of its own; the new pods are other machines, with the cluster key of the Secret."""
    scheduler = network.address("scheduler")
    owner.write("read.py", AS_THE_POD.replace("SCHEDULER", scheduler))
    forward = f"exec credagent forward --scheduler tcp://{scheduler}:8786 --recipient lab-key/recipient.pub"
    with following(pages.Page("", pages.read("kubernetes").steps[:2]), owner, {}, {"kubectl": cluster.kubectl}):
        assert owner.types("timeout 120 python read.py || true").returncode == 0  # the scheduler is there
        with (owner.home / "forward.log").open("wb") as log:
            process = owner.starts(f"{forward} --audience lab", stdout=log, stderr=subprocess.STDOUT)
        try:
            assert owner.types(UNTIL_READ).returncode == 0
            for machine in MACHINES[:3]:
                cluster.kubelet.restart(machine)
            again = cluster_cloud.remote.last_seq()
            assert owner.types(UNTIL_READ).returncode == 0
            assert process.poll() is None, "the same process still forwards"
        finally:
            kill_tree(process)
            print((owner.home / "forward.log").read_text())
    assert {name.rpartition("-")[0] for name in cluster_cloud.readers(again)} == {"session-token"}


LIFE = """
import credagent
from dask.distributed import Client

with Client("tcp://SCHEDULER:8786", timeout=60) as client:
    client.wait_for_workers(2, timeout=60)
    with credagent.forward_credentials(client, recipients="lab-key/recipient.pub", audience="lab"):
        everywhere(client, 2)
        print("first", flush=True)
        loses_one(client, 3)  # the third pod starts now
        print("killed", flush=True)
        keeps_reading(client)
"""


def test_a_late_pod_with_a_sidecar_and_a_service_of_our_name_a_killed_worker_and_renewal(
    cluster: Cluster, owner: Person, network: Bridge, cluster_cloud: SimulatedCloud
) -> None:
    steps = pages.read("kubernetes").steps
    cluster_cloud.remote.expire_after("sts", 24)
    owner.write("life.py", READS_EVERYWHERE + LIFE.replace("SCHEDULER", network.address("scheduler")))
    with following(pages.Page("", steps[:2]), owner, {}, {"kubectl": cluster.kubectl}):
        late = {**yaml.safe_load(cluster.resource("pod-with-agent.yaml"))["spec"], "enableServiceLinks": True}
        process = owner.starts("timeout 150 python life.py", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        said = []
        for told in process.stdout:
            said.append(told)
            if told == "first\n":
                cluster.kubelet.run(MACHINES[-1], late)
        assert process.wait() == 0, "".join(said)  # its own time-outs end it
    assert [told.strip() for told in said if told.strip() in ("first", "killed")] == ["first", "killed"]
    assert len(cluster_cloud.readers()) > 1, "renewed under running workers"
    assert {call["code"] for call in cluster_cloud.remote.log("s3", "GetObject")} == {"ok"}


KUBE_LIFE = """
import sys
import credagent
from dask_kubernetes.operator import KubeCluster

def until(state):
    while forwarding.status().state != state:
        time.sleep(0.1)

with (
    KubeCluster(custom_cluster_spec="dask-cluster.yaml", quiet=True) as cluster,
    credagent.forward_credentials(cluster, recipients="lab-key/recipient.pub", audience="lab") as forwarding,
):
    with cluster.get_client() as client:
        everywhere(client, 2)
        cluster.scale(3)
        loses_one(client, 3)
        keeps_reading(client)
    print("pods", flush=True)  # all of them are restarted now
    until("reconnecting")
    until("forwarding")
    with cluster.get_client() as client:
        everywhere(client, 3)
        keeps_reading(client)
    print(sorted(machine.state for machine in forwarding.status().machines), flush=True)
"""


def test_a_kube_cluster_of_the_page_a_late_pod_a_killed_worker_renewal_and_a_restarted_scheduler(
    cluster: Cluster, owner: Person, cluster_cloud: SimulatedCloud
) -> None:
    """KubeCluster's own code asks for the cluster, the operator's own code makes its pods."""
    *first, last = pages.read("kube-cluster").steps
    owner.hosts = cluster.kubelet.hosts_file()
    with (
        following(pages.Page("", tuple(first)), owner, {}, {"kubectl": cluster.kubectl}),
        api_server(cluster.operator) as kubeconfig,
    ):
        owner.write(".kube/config", kubeconfig)
        owner.write("dask-cluster.yaml", cluster.resource("dask-cluster.yaml"))
        with following(pages.Page("", (last,)), owner, {}) as shown:
            assert shown.rstrip().endswith(FIRST_LINE), "behind what KubeCluster draws"
        assert not cluster.operator.resources, "the cluster is deleted when the block ends"
        cluster_cloud.remote.expire_after("sts", 24)
        began = cluster_cloud.remote.last_seq()
        owner.write("life.py", READS_EVERYWHERE + KUBE_LIFE)
        process = owner.starts("timeout 240 python life.py", stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = []
        for told in process.stdout:
            said.append(told.strip())
            if told == "pods\n":
                sessions = cluster_cloud.readers(began)
                again = cluster_cloud.remote.last_seq()
                for machine in MACHINES:
                    cluster.kubelet.restart(machine)
        assert process.wait() == 0  # its own time-outs end it
    assert said == ["pods", f"{['admitted'] * 4}"]
    assert len(sessions) > 1, "renewed under running workers"
    assert set(cluster_cloud.readers(again)) - set(sessions), "renewed under those of the next scheduler, too"
    assert {name.rpartition("-")[0] for name in cluster_cloud.readers()} == {"session-token"}
    assert {call["code"] for call in cluster_cloud.remote.log("s3", "GetObject")} == {"ok"}
