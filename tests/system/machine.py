"""A booted Debian of its own: nspawn on an overlay, in a network namespace that holds the metadata addresses.

What happens in it stays in its overlay; it can be stopped and booted again. No systemd is started outside of nspawn.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import psutil

from tests.canary import log_file

METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")
BOOT_S = 120.0
WITH_BPF = ("--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf bpf perf_event_open")


# One hierarchy of control groups, as every Debian since 11 has it, whatever is here; systemd 258 knows no other.
_UNIFIED = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}


class Network:
    """A network namespace with nothing in it but loopback and the clouds' metadata addresses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"/run/netns/{name}"

    def make(self) -> None:
        """Make it anew."""
        self.remove()
        _run("ip", "netns", "add", self.name)
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        for address in METADATA:
            _run("ip", "-n", self.name, "addr", "add", address, "dev", "lo")

    def remove(self) -> None:
        """Remove it, if it is there."""
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs `command` in it."""
        return ["nsenter", f"--net={self.path}", *command]


class Machine:
    """One machine, from its first boot to its end."""

    def __init__(self, image: Path, folder: Path, network: Network, *, options: tuple[str, ...] = ()) -> None:
        self.image, self.folder, self.network = image, folder, network
        self.root = folder / "root"
        self._options = options
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def __enter__(self) -> Self:
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True)
        layers = f"lowerdir={self.image},upperdir={self.folder}/upper,workdir={self.folder}/work"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AssertionError):
            self.stop()
        _run("umount", str(self.root))
        shutil.rmtree(self.folder, ignore_errors=True)

    def boot(self, *states: str) -> None:
        """Boot, and wait until systemd has done what it has to do, or is in one of `states`."""
        command = ["systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit"]
        command += [f"--machine={self.network.name}", "--console=pipe", f"--network-namespace-path={self.network.path}"]
        with (self.folder / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*command, *self._options],
                env=os.environ | _UNIFIED,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self.until(self._find_leader, BOOT_S)
        self.until(lambda: self.state() in (states or ("running", "degraded")), BOOT_S)

    def stop(self) -> None:
        """Shut down in order."""
        if self._nspawn is None:
            return
        if self.leader:
            log_file("journal").write_text(self.run("journalctl", "--no-pager", check=False))
            os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn, self.leader = None, 0

    def state(self) -> str:
        """Return what `systemctl is-system-running` says."""
        return self.run("systemctl", "is-system-running", check=False).strip()

    def run(self, *command: str, check: bool = True, given: str = "", user: str = "") -> str:
        """Run a command in the booted machine and return what it printed."""
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        whole = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", _PATH, *as_user, *command]
        done = subprocess.run(whole, capture_output=True, text=True, input=given, timeout=180, check=False)
        assert not check or done.returncode == 0, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        )
        return done.stdout if done.returncode == 0 or check else done.stdout + done.stderr

    def start(self, *command: str, user: str) -> "subprocess.Popen[str]":
        """Start a command in the booted machine and leave it running."""
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        whole = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", _PATH, *as_user, *command]
        return subprocess.Popen(
            whole, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def log(self) -> str:
        """Return the end of the journal of the agent and of Dask."""
        command = [
            "nsenter",
            "-t",
            str(self.leader),
            "-a",
            "journalctl",
            "-u",
            "credagent*",
            "-u",
            "dask*",
            "-n",
            "60",
            "--no-pager",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def until(self, truth: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait for `truth`, or fail with the agent's journal."""
        give_up = time.monotonic() + within_s
        while not truth():
            assert time.monotonic() < give_up, self.log() if self.leader else "did not boot"
            time.sleep(0.05)

    def _find_leader(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self.folder / "console.log").read_text()[-2000:]
        children = psutil.Process(self._nspawn.pid).children()
        self.leader = next((child.pid for child in children if child.name() == "systemd"), 0)
        return bool(self.leader)


_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextlib.contextmanager
def networked(name: str) -> Iterator[Network]:
    """Make a network for the time of a block."""
    network = Network(name)
    network.make()
    try:
        yield network
    finally:
        network.remove()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
