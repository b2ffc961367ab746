"""One loopback cloud for each module of these tests, and helpers started by the real caller against it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import RequestFor
from credagent.errors import Unavailable
from tests.simulator import Simulator

A = TypeVar("A")

NOWHERE = "http://127.0.0.1:1"
DEADLINE_S = 30.0


class Cloud:
    """A simulator, and an environment in which nothing but the simulator can be reached."""

    def __init__(self, simulator: Simulator, home: Path) -> None:
        """`home` stands for the user's."""
        self.simulator = simulator
        self.home = home
        self.addresses = simulator.addresses()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **simulator.environ(),
            # Whatever is not on loopback goes to a proxy that does not exist: no packet leaves the machine.
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": self.addresses["google-iam"],
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": self.addresses["google-kms"],
        }

    def ask(self, request: RequestFor[A], **environ: str) -> A:
        """Return the helper's answer; `environ` is added to what points to the simulator."""
        return call_blocking(request, deadline_s=DEADLINE_S, environ={**self.environ, **environ})

    def refused(self, request: RequestFor[A], **environ: str) -> Unavailable:
        """Return the failure, which has to be one."""
        with pytest.raises(Unavailable) as raised:
            self.ask(request, **environ)
        return raised.value


WITHOUT_MACHINE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "GCE_METADATA_HOST": "127.0.0.1:1",
    "GCE_METADATA_IP": "127.0.0.1:1",
    "GCE_METADATA_ROOT": "127.0.0.1:1",
}
"""A laptop: neither cloud's metadata."""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Return a cloud of the test's own."""
    with Simulator() as simulator:
        yield Cloud(simulator, tmp_path)
