"""A network namespace with a cloud's metadata service at its real address, for tests of machines in that cloud."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.stage import clean_environment
from tests.patience import scaled

TESTS = Path(__file__).parents[1]
METADATA = ("169.254.169.254/32", "fd00:ec2::254/128", "fd20:ce::254/128")
CONTROL = """
import sys, urllib.request
address, name, arguments = sys.argv[1:]
urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", data=arguments.encode()), timeout=10)
"""


class Space:
    """A network namespace in which the metadata address is this machine's own, and nothing else is reached."""

    def __init__(self, kind: str = "m") -> None:
        self.name = f"ca-{kind}{os.getpid() % 100_000}"
        self.enter = ["ip", "netns", "exec", self.name]
        self._etc = Path("/etc/netns") / self.name  # `ip netns exec` shows these files in the place of /etc's
        self._running: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        for words in (
            ["netns", "add", self.name],
            ["-n", self.name, "link", "set", "lo", "up"],
            *(["-n", self.name, "addr", "add", address, "dev", "lo"] for address in METADATA),
        ):
            subprocess.run(["ip", *words], check=True)
        self._etc.mkdir(parents=True)
        (self._etc / "hosts").write_text("127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n")

    def move_metadata_to(self, far: "Space") -> None:
        """Reach the metadata addresses over a network, as on a real machine: they are `far`'s, and routed there."""
        own = [["-n", self.name, "addr", "delete", address, "dev", "lo"] for address in METADATA]
        link = ["-n", self.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far.name]
        ends = [
            words
            for name, last in ((self.name, 1), (far.name, 2))
            for words in (
                ["-n", name, "addr", "add", f"10.9.0.{last}/24", "dev", "eth0"],
                ["-n", name, "addr", "add", f"fd09::{last}/64", "dev", "eth0", "nodad"],
                ["-n", name, "link", "set", "eth0", "up"],
            )
        ]
        ways = [["-n", self.name, "route", "add", "default", "via", gateway] for gateway in ("10.9.0.2", "fd09::2")]
        for words in (*own, link, *ends, *ways):
            subprocess.run(["ip", *words], check=True)

    def start(self, *command: str, environ: dict[str, str], output: Path) -> None:
        with output.open("ab") as out:
            self._running.append(
                subprocess.Popen([*self.enter, *command], env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            )

    def run(self, *command: str, text: str = "", environ: dict[str, str] | None = None) -> str:
        """Run a program to its end, and return what it printed."""
        done = subprocess.run(
            [*self.enter, *command],
            input=text,
            env=environ,
            capture_output=True,
            text=True,
            timeout=scaled(60),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        for process in reversed(self._running):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(scaled(10))
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
    give_up = time.monotonic() + scaled(within_s)
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
