"""A machine in a simulated cloud, for the tests of channels; and numbered bundles, to tell one from the next."""

from collections.abc import Iterator
from typing import Any

import pytest

from credagent.bundle.contents import Bundle
from tests.integration.agents import Machine
from tests.integration.clouds import NOWHERE
from tests.integration.letters import letter
from tests.simulator import Simulator

NAME = "credagent-bundle"
CHANNELS = [
    "s3://cluster/bundle",
    "gs://cluster/folder/bundle",
    "ec2-user-data",
    f"gce-attribute:{NAME}",
    "aws-ssm:/dask/bundle",
]


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


def numbered(number: int, **changes: Any) -> Bundle:
    return letter(variables={"NUMBER": str(number)}, **changes)


def holds(machine: Machine, number: str) -> bool:
    return machine.value("NUMBER") == number
