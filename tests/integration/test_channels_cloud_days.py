"""A running agent and the channels that clouds keep, on bad days: denied, hanging, empty, killed, on no cloud."""

import os
import sys
import time
from functools import partial

import psutil

from tests.integration.agents import Machine, machine
from tests.integration.channel_clouds import CHANNELS, NAME, holds, numbered, simulator
from tests.integration.clouds import NOWHERE
from tests.simulator import Simulator

__all__ = ["machine", "simulator"]


def test_an_attribute_that_changes_arrives_while_the_server_is_waited_for(
    simulator: Simulator, machine: Machine
) -> None:
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]})
    machine.start()
    for number in range(3):
        time.sleep(3)  # the server is being waited for again
        simulator.set_attribute(NAME, machine.sealed(numbered(number)))
        machine.until(partial(holds, machine, str(number)))


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


def test_of_ten_channels_nine_fail_and_one_delivers(simulator: Simulator, machine: Machine) -> None:
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
    # What is mounted beside this test wakes it, rightly; an agent that polls has no quiet ten seconds at all.
    assert any(wake_ups(process, 10) <= 5 for _ in range(4))
    assert len(process.children()) == 1


def test_nothing_is_left_of_a_helper_that_waited_when_the_agent_ends(simulator: Simulator, machine: Machine) -> None:
    simulator.set_attribute(NAME, machine.sealed(numbered(1)))
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}"]})
    process = psutil.Process(machine.start().pid)
    machine.until(lambda: machine.value("NUMBER") == "1")
    children = machine.until(process.children)
    machine.kill()
    machine.until(lambda: all(gone(child) for child in children))


def wake_ups(process: psutil.Process, seconds: float) -> int:
    before: int = process.num_ctx_switches().voluntary
    time.sleep(seconds)
    return int(process.num_ctx_switches().voluntary) - before


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
    machine.start()  # it has settled; the service is silent still
    (told,) = machine.events("not_settled")
    assert (told["after_s"], told["unread"]) == (3, ["s3"])
    simulator.clear_faults()
