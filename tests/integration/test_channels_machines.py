"""A machine of each cloud in a network namespace, metadata at the real address: boot, change, and how long it takes."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credagent.worker import credagent_worker
from tests.demo.stage import clean_environment
from tests.integration.agents import Machine, machine
from tests.integration.forwarder.network import possible
from tests.integration.letters import letter

__all__ = ["machine"]

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
CONTROL = """
import sys, urllib.request
address, name, arguments = sys.argv[1:]
urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", data=arguments.encode()), timeout=10)
"""
Put = Callable[[str], None]


class Space:
    """A network namespace in which the metadata address is this machine's own, and nothing else is reached."""

    def __init__(self) -> None:
        self.name = f"ca-m{os.getpid() % 100_000}"
        self.enter = ["ip", "netns", "exec", self.name]
        self._etc = Path("/etc/netns") / self.name  # `ip netns exec` shows these files in the place of /etc's
        self._running: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        for words in (
            ["netns", "add", self.name],
            ["-n", self.name, "link", "set", "lo", "up"],
            ["-n", self.name, "addr", "add", "169.254.169.254/32", "dev", "lo"],
        ):
            subprocess.run(["ip", *words], check=True)
        self._etc.mkdir(parents=True)
        (self._etc / "hosts").write_text("127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n")

    def start(self, *command: str, environ: dict[str, str], output: Path) -> None:
        with output.open("ab") as out:
            self._running.append(
                subprocess.Popen([*self.enter, *command], env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            )

    def end(self) -> None:
        for process in reversed(self._running):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
        shutil.rmtree(self._etc, ignore_errors=True)


class Cloud:
    """The simulator inside the namespace, with one face at the metadata address."""

    def __init__(self, space: Space, folder: Path, face: str) -> None:
        self._space, state = space, folder / "cloud.json"
        words = ("-m", "simulator", "--state-file", str(state), "--listen", f"{face}=169.254.169.254:80")
        environ = {**clean_environment(), "PYTHONPATH": str(TESTS)}
        space.start(sys.executable, *words, environ=environ, output=folder / "cloud.log")
        self._address = json.loads(content(state))["addresses"]["admin"]

    def control(self, operation: str, /, **arguments: Any) -> None:
        command = [*self._space.enter, sys.executable, "-c", CONTROL, self._address, operation, json.dumps(arguments)]
        subprocess.run(command, check=True)


def content(path: Path, within_s: float = 30) -> str:
    give_up = time.monotonic() + within_s
    while not path.exists() or not path.read_text():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return path.read_text()


@pytest.fixture
def space() -> Iterator[Space]:
    found = Space()
    try:
        found.build()
        yield found
    finally:
        found.end()


def numbered(machine: Machine, number: int) -> str:
    return machine.sealed(letter(variables={"NUMBER": str(number)}))


def follows(space: Space, machine: Machine, put: Put, *, within_s: float) -> float:
    """Boot with a bundle, see it in a worker, change it, and return how long the worker waited for the change."""
    # As on a real machine: nothing says where metadata are, and nothing switches them off.
    unset = {name: value for name, value in machine.environ.items() if name not in OF_TESTS}
    put(numbered(machine, 1))
    booted = time.time()
    space.start(*machine.program, "run", "--config", str(machine.config), environ=unset, output=machine.log)
    seen = machine.folder / "worker.log"
    folder = str(Path(credagent_worker.__file__).parent)
    worker = {**unset, "CREDAGENT_SOCKET": str(machine.socket)}
    space.start(sys.executable, "-c", WORKER, folder, environ=worker, output=seen)
    first = machine.until(lambda: times(seen).get("1", 0.0), 40)
    time.sleep(4)  # until the change can only be seen by a look of its own, or by waiting
    changed = time.time()
    put(numbered(machine, 2))
    second = machine.until(lambda: times(seen).get("2", 0.0), within_s)
    say = f"from the start to the worker {first - booted:.2f} s, from the change to the worker {second - changed:.2f} s"
    sys.stdout.write(f"{say}\n")
    assert machine.refusals() == []
    return second - changed


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

    assert follows(space, machine, put, within_s=90) < 80
    machine.until(lambda: machine.status()["slots"]["aws"]["origin"] == "aws-metadata")


@pytest.mark.timeout(240)
def test_a_google_machine_boots_with_a_bundle_in_an_attribute(space: Space, machine: Machine) -> None:
    cloud = Cloud(space, machine.folder, "google-metadata")
    machine.configure(bundle={"channels": [f"gce-attribute:{NAME}", "ec2-user-data"]}, google={"handover": "metadata"})
    taken = follows(space, machine, lambda bundle: cloud.control("set_attribute", name=NAME, value=bundle), within_s=20)
    assert taken < 3
    machine.until(lambda: machine.status()["slots"]["google"]["origin"] == "google-metadata")
