"""A machine of each cloud in a network namespace, metadata at the real address: boot, change, and how long it takes."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.worker import credagent_worker
from tests.integration.agents import Machine, machine
from tests.integration.forwarder.network import possible
from tests.integration.letters import letter
from tests.integration.metadata_address import Cloud, Space, space
from tests.patience import scaled

__all__ = ["machine", "space"]

pytestmark = [
    pytest.mark.skipif(not possible(), reason="needs network namespaces (root)"),
    pytest.mark.xdist_group("metadata-address"),
]

TESTS = Path(__file__).parents[1]
NAME = "credagent-bundle"
WORKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import credagent_worker
credagent_worker.start("worker").wait(60)
seen = None
while True:
    if os.environ.get("NUMBER") != seen:
        seen = os.environ["NUMBER"]
        print(seen, time.time(), flush=True)
    time.sleep(0.005)
"""
Put = Callable[[str], None]


def numbered(machine: Machine, number: int) -> str:
    return machine.sealed(letter(variables={"NUMBER": str(number)}))


def follows(space: Space, machine: Machine, put: Put, *, within_s: float) -> None:
    """Boot with a bundle, see it in a worker, change it, and see the change there."""
    # As on a real machine: nothing says where metadata are, and nothing switches them off.
    unset = {name: value for name, value in machine.environ.items() if name not in OF_TESTS}
    put(numbered(machine, 1))
    booted = time.time()
    space.start(*machine.program, "run", "--config", str(machine.config), environ=unset, output=machine.log)
    seen = machine.folder / "worker.log"
    folder = str(Path(credagent_worker.__file__).parent)
    worker = {**unset, "CREDAGENT_SOCKET": str(machine.socket)}
    space.start(sys.executable, "-c", WORKER, folder, environ=worker, output=seen)
    first = machine.until(lambda: times(seen).get("1", 0.0), scaled(40))
    time.sleep(4)  # until the change can only be seen by a look of its own, or by waiting
    changed = time.time()
    put(numbered(machine, 2))
    second = machine.until(lambda: times(seen).get("2", 0.0), scaled(within_s))
    say = f"from the start to the worker {first - booted:.2f} s, from the change to the worker {second - changed:.2f} s"
    sys.stdout.write(f"{say}\n")
    assert machine.refusals() == []


OF_TESTS = frozenset({"AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK"})


def times(path: Path) -> dict[str, float]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {number: float(at) for number, at in (line.split() for line in lines if line[:1].isdigit())}


@pytest.mark.timeout(240)
def test_an_ec2_machine_boots_with_a_bundle_in_its_user_data(space: Space, machine: Machine) -> None:
    cloud = Cloud(space, machine.folder, "imds")
    machine.configure(bundle={"channels": ["ec2-user-data", f"gce-attribute:{NAME}"]})

    def put(bundle: str) -> None:
        cloud.control("instance", user_data=f"#cloud-config\n# {bundle}\nruncmd: []\n")

    follows(space, machine, put, within_s=scaled(90))  # user data tell nobody: they are looked at once a minute
    machine.until(lambda: machine.status()["slots"]["aws"]["origin"] == "aws-metadata")


@pytest.mark.timeout(240)
def test_a_google_machine_boots_with_a_bundle_in_an_attribute(space: Space, machine: Machine) -> None:
    cloud = Cloud(space, machine.folder, "google-metadata")
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}", "ec2-user-data"]}, google={"handover": "metadata"})
    follows(space, machine, lambda bundle: cloud.control("set_attribute", name=NAME, value=bundle), within_s=scaled(20))
    machine.until(lambda: machine.status()["slots"]["google"]["origin"] == "google-metadata")
