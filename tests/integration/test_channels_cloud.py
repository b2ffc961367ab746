"""A running agent and the channels that clouds keep: the simulator's S3, GCS and metadata, moto's parameter store."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.bundle.sealing import seal
from tests.integration.agents import Machine, machine
from tests.integration.channel_clouds import CHANNELS, NAME, numbered, simulator
from tests.simulator import Simulator

__all__ = ["machine", "simulator"]

PARAMETER = "/dask/bundle"
Put = Callable[[str | None], None]
everywhere = pytest.mark.parametrize("channel", CHANNELS)


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    """An administrator's client of moto's parameter store."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.client(
        "ssm",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    server.stop()


def user_data(cloud: Simulator) -> Put:
    def put(bundle: str | None) -> None:
        cloud.instance(user_data=None if bundle is None else f"#cloud-config\n# {bundle}\npackages: [htop]\n")

    return put


def places(cloud: Simulator, ssm: Any) -> dict[str, Put]:
    """How a test writes each channel; None removes what is there, where that can be done."""

    def parameter(bundle: str | None) -> None:
        if bundle is None:
            ssm.delete_parameters(Names=[PARAMETER])
        else:
            ssm.put_parameter(Name=PARAMETER, Value=bundle, Type="String", Overwrite=True, Tier="Advanced")

    return {
        "s3://cluster/bundle": lambda bundle: cloud.put_object("cluster", "bundle", bundle or ""),
        "gs://cluster/folder/bundle": lambda bundle: cloud.put_object(
            "cluster", "folder/bundle", bundle or "", store="gcs"
        ),
        "ec2-user-data": user_data(cloud),
        f"gce-attribute:{NAME}": lambda bundle: cloud.set_attribute(NAME, bundle),
        f"aws-ssm:{PARAMETER}": parameter,
    }


@pytest.fixture
def put(channel: str, simulator: Simulator, machine: Machine, moto: Any) -> Put:
    """Return how this test's channel is written. Nothing is there at first."""
    machine.environ["AWS_ENDPOINT_URL_SSM"] = moto.meta.endpoint_url
    moto.delete_parameters(Names=[PARAMETER])
    machine.configure(bundle={"channels": [channel]})
    return places(simulator, moto)[channel]


def of_another_machine(machine: Machine) -> str:
    return seal(numbered(9), [RecipientPrivateKey.generate().public_key], machine.sender)


@everywhere
def test_a_bundle_is_read_at_boot_and_a_newer_one_later(channel: str, put: Put, machine: Machine) -> None:
    put(machine.sealed(numbered(1)))
    machine.start()
    machine.until(lambda: machine.value("NUMBER") == "1")
    assert machine.status()["bundle"]["channel"] == channel.partition(":")[0]
    put(machine.sealed(numbered(2)))
    machine.reload()
    machine.until(lambda: machine.value("NUMBER") == "2")
    assert machine.refusals() == []


@everywhere
def test_an_older_bundle_changes_nothing(channel: str, put: Put, machine: Machine) -> None:
    old, new = machine.sealed(numbered(1)), machine.sealed(numbered(2))
    put(new)
    machine.start()
    machine.until(lambda: machine.value("NUMBER") == "2")
    put(old)
    machine.reload()
    machine.until(lambda: machine.refusals() == ["replayed"])
    assert machine.value("NUMBER") == "2"
    assert machine.status()["state"] == "ready"


@everywhere
def test_what_is_for_another_machine_is_absent(channel: str, put: Put, machine: Machine) -> None:
    put(of_another_machine(machine))
    machine.start()
    machine.stays(lambda: machine.status()["state"] == "ready", 2.0)
    assert machine.refusals() == []


@everywhere
def test_what_is_no_bundle_is_refused(channel: str, put: Put, machine: Machine) -> None:
    put("credagent-bundle:this-is-not-one")
    machine.start()
    machine.until(lambda: bool(machine.refusals()))
    assert machine.status()["state"] == "degraded"


@everywhere
def test_content_that_vanishes_changes_nothing(channel: str, put: Put, machine: Machine, simulator: Simulator) -> None:
    put(machine.sealed(numbered(1)))
    machine.start()
    machine.until(lambda: machine.value("NUMBER") == "1")
    if channel.startswith(("s3", "gs")):
        simulator.fault(channel[:2].replace("gs", "gcs"), status=404, code="NoSuchKey")
    else:
        put(None)
    machine.reload()
    machine.stays(lambda: machine.value("NUMBER") == "1", 2.0)
    assert machine.refusals() == []


@everywhere
def test_once_waits_for_the_channel(channel: str, put: Put, machine: Machine) -> None:
    put(machine.sealed(numbered(1)))
    done = machine.once()
    assert done.returncode == 0, done.stderr
    assert "NUMBER=1" in machine.worker_env.read_text()
