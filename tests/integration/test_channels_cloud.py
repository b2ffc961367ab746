"""A running agent and the channels that clouds keep: the simulator's S3, GCS and metadata, moto's parameter store."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer

from credagent.bundle.keys import RecipientPrivateKey
from credagent.bundle.letter import Bundle
from credagent.bundle.sealing import seal
from tests.integration.agents import Machine, machine
from tests.integration.clouds import NOWHERE
from tests.integration.letters import letter
from tests.simulator import Simulator

__all__ = ["machine"]

NAME = "credagent-bundle"
PARAMETER = "/dask/bundle"
Put = Callable[[str | None], None]


@pytest.fixture
def simulator(machine: Machine) -> Iterator[Simulator]:
    """A cloud in which the machine is; nothing else can be reached."""
    with Simulator() as cloud:
        machine.environ |= {
            **cloud.environ(),
            "HTTPS_PROXY": NOWHERE,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": cloud.addresses()["gcs"],
        }
        cloud.create_bucket("cluster")
        cloud.create_bucket("cluster", store="gcs")
        yield cloud


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


CHANNELS = [
    "s3://cluster/bundle",
    "gs://cluster/folder/bundle",
    "ec2-user-data",
    f"gce-attribute:{NAME}",
    "aws-ssm:/dask/bundle",
]
everywhere = pytest.mark.parametrize("channel", CHANNELS)


@pytest.fixture
def put(channel: str, simulator: Simulator, machine: Machine, moto: Any) -> Put:
    """Return how this test's channel is written. Nothing is there at first."""
    machine.environ["AWS_ENDPOINT_URL_SSM"] = moto.meta.endpoint_url
    moto.delete_parameters(Names=[PARAMETER])
    machine.configure(bundle={"channels": [channel]})
    return places(simulator, moto)[channel]


def numbered(number: int, **changes: Any) -> Bundle:
    return letter(variables={"NUMBER": str(number)}, **changes)


def holds(machine: Machine, number: str) -> bool:
    return machine.value("NUMBER") == number


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


def test_an_attribute_that_changes_arrives_at_once(simulator: Simulator, machine: Machine) -> None:
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]})
    machine.start()
    taken = []
    for number in range(3):
        time.sleep(3)  # the server is being waited for again
        began = time.monotonic()
        simulator.set_attribute(NAME, machine.sealed(numbered(number)))
        machine.until(partial(holds, machine, str(number)))
        taken.append(time.monotonic() - began)
    assert min(taken) < 1.0, taken


def test_an_empty_attribute_is_refused_and_a_script_as_user_data_is_absent(
    simulator: Simulator, machine: Machine
) -> None:
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}", "ec2-user-data"]})
    simulator.set_attribute(NAME, "")
    simulator.instance(user_data="#!/bin/sh\necho hello\n")
    machine.start()
    machine.until(lambda: machine.refusals() == ["empty"])
    machine.stays(lambda: machine.refusals() == ["empty"])


def test_a_bucket_that_denies_is_shown_and_does_not_touch_the_machines_own_identity(
    simulator: Simulator, machine: Machine
) -> None:
    simulator.fault("s3", status=403, code="AccessDenied")
    machine.configure(bundle={"channels": ["s3://cluster/bundle"]}, aws={"fallback": "absent"})
    machine.start()
    machine.until(lambda: machine.events("channel_unreadable"))
    assert machine.events("channel_unreadable")[0]["code"] == "access-denied"
    machine.until(lambda: machine.status()["state"] == "degraded")
    assert machine.status()["slots"]["aws"]["origin"] == "aws-metadata"


def test_on_a_machine_of_neither_cloud_every_cloud_channel_is_quiet(machine: Machine) -> None:
    machine.environ |= {"HTTPS_PROXY": NOWHERE, "AWS_REGION": "eu-central-1"}
    machine.configure(bundle={"channels": CHANNELS})
    machine.start()
    machine.until(lambda: len(machine.events("channel_absent")) == len(CHANNELS))
    assert machine.status()["state"] == "ready"
    assert machine.events("channel_unreadable") == []


def test_of_ten_channels_nine_fail_and_one_delivers(simulator: Simulator, machine: Machine, moto: Any) -> None:
    simulator.fault("s3", status=403, code="AccessDenied")
    simulator.fault("gcs", hang=True)
    simulator.instance(user_data="credagent-bundle:cut")
    machine.environ |= {"AWS_ENDPOINT_URL_SSM": NOWHERE, "EMPTY": "", "GARBAGE": "hello"}
    fifo = machine.folder / "fifo"
    os.mkfifo(fifo)
    machine.configure(
        bundle={
            "channels": [
                f"file:{fifo}",
                f"file:{machine.folder}",
                "env:EMPTY",
                "env:GARBAGE",
                "s3://cluster/bundle",
                "gs://cluster/bundle",
                "aws-ssm:/dask/bundle",
                "ec2-user-data",
                "https://localhost:1/bundle",
                f"gce-attribute:{NAME}",
            ]
        }
    )
    simulator.set_attribute(NAME, machine.sealed(numbered(1)))
    began = time.monotonic()
    machine.start()
    machine.until(lambda: machine.value("NUMBER") == "1", 15)
    sys.stdout.write(f"delivered by the tenth channel after {time.monotonic() - began:.1f} s\n")
    simulator.set_attribute(NAME, machine.sealed(numbered(2)))
    machine.until(lambda: machine.value("NUMBER") == "2", 15)
    machine.until(lambda: len({event["channel"] for event in machine.events("bundle_refused")}) == 5)


def test_an_idle_agent_that_waits_for_an_attribute_does_not_wake_up(simulator: Simulator, machine: Machine) -> None:
    simulator.set_attribute(NAME, machine.sealed(numbered(1)))
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]}, aws={"handover": "off"})
    process = psutil.Process(machine.start().pid)
    machine.until(lambda: machine.value("NUMBER") == "1")
    time.sleep(4)  # until the server is waited for
    before = process.num_ctx_switches().voluntary
    time.sleep(10)
    assert process.num_ctx_switches().voluntary - before <= 5
    assert len(process.children()) == 1


def test_nothing_is_left_of_a_helper_that_waited_when_the_agent_ends(simulator: Simulator, machine: Machine) -> None:
    simulator.set_attribute(NAME, machine.sealed(numbered(1)))
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]})
    process = psutil.Process(machine.start().pid)
    machine.until(lambda: machine.value("NUMBER") == "1")
    children = machine.until(process.children)
    machine.kill()
    machine.until(lambda: all(gone(child) for child in children))


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_machine_is_not_ready_before_its_channels_were_looked_at(simulator: Simulator, machine: Machine) -> None:
    """A worker that starts with the machine waits for the bundle, and does not begin with the machine's own role."""
    simulator.set_attribute(NAME, machine.sealed(numbered(1)))
    simulator.fault("google-metadata", "attribute", times=1, delay_s=1.5)
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]}, aws={"handover": "off"})
    machine.start()
    assert machine.value("NUMBER") == "1"


def test_a_channel_that_hangs_holds_a_machine_back_no_longer_than_settling_may_take(
    simulator: Simulator, machine: Machine
) -> None:
    simulator.fault("s3", hang=True)
    machine.configure(bundle={"channels": ["s3://cluster/bundle"]}, agent={"settle": "3s"})
    began = time.monotonic()
    machine.start()
    assert 2 < time.monotonic() - began < 15
    simulator.clear_faults()
