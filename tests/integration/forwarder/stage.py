"""A Dask cluster of real processes; each "machine" has an agent, a key and a socket of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from credagent.worker import credagent_worker
from tests.patience import scaled
from tests.ports import free_port

BIN = Path(sys.executable).parent
AUDIENCE = "lab"


class Machine(Struct):
    """A folder, an agent, and how its processes find it. `enter` precedes every command (a network namespace)."""

    name: str
    folder: Path
    trusted: tuple[str, ...]
    environ: dict[str, str]
    audience: str = AUDIENCE
    more: str = ""
    enter: tuple[str, ...] = ()
    agent: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> str:
        return str(self.folder / "run" / "agent.sock")

    def start_agent(self, channels: Sequence[str] = ("socket",)) -> None:
        for name in ("run", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        trusted = ", ".join(f'"{line}"' for line in self.trusted)
        listed = ", ".join(f'"{one}"' for one in channels)
        config = self.folder / "config.toml"
        config.write_text(f"""
[agent]
audience = "{self.audience}"
runtime_dir = "{self.folder}/run"
state_dir = "{self.folder}/state"
settle = "2s"
[bundle]
channels = [{listed}]
trusted_senders = [{trusted}]
[google]
handover = "off"
[log]
level = "debug"
{self.more}
""")
        command = (*self.enter, str(BIN / "credagent"), "run", "--config", str(config))
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log, start_new_session=True)
        within(40, lambda: self.ask("identity"), f"the agent of {self.name}")

    def stop_agent(self) -> None:
        if self.agent is not None:
            end(self.agent)
            self.agent = None

    def ask(self, operation: str) -> dict[str, Any]:
        try:
            return credagent_worker.ask({"op": operation}, self.socket, 5)
        except credagent_worker.AgentAbsent:
            return {}

    @property
    def public_key(self) -> str:
        return str(self.ask("identity")["public_key"])

    def env_of_slot(self) -> dict[str, str]:
        return dict(self.ask("set")["environment"])


class Stage(Struct):
    """What a test builds and what is torn down after it."""

    folder: Path
    environ: dict[str, str]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    scheduler: str = ""
    python: str = sys.executable  # of the cluster's processes

    def machine(self, name: str, *trusted: str, agent: bool = True, **more: Any) -> Machine:
        folder = self.folder / name
        folder.mkdir()
        found = Machine(name=name, folder=folder, trusted=trusted, environ=dict(self.environ), **more)
        found.environ["CREDAGENT_SOCKET"] = found.socket
        self.machines.append(found)
        if agent:
            found.start_agent()
        return found

    def start_scheduler(
        self, machine: Machine, *options: str, host: str = "127.0.0.1", port: int = 0, dashboard: bool = False
    ) -> str:
        port = port or free_port()
        protocol = "tls" if "--tls-cert" in options else "tcp"
        pages = () if dashboard else ("--no-dashboard",)
        command = ("scheduler", "--host", f"{protocol}://{host}", "--port", str(port), *pages, *options)
        process = self.dask(machine, "scheduler", *command)
        self.scheduler = f"{protocol}://{host}:{port}"
        if not machine.enter:
            within(40, lambda: answers(host, port), "the scheduler", process)
        return self.scheduler

    def start_worker(self, machine: Machine, name: str, *options: str, **environ: str) -> "subprocess.Popen[bytes]":
        defaults = ("--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--name", name)
        return self.dask(machine, name, "worker", self.scheduler, *defaults, *options, **environ)

    def start_forwarder(self, *options: str, enter: Sequence[str] = (), **environ: str) -> "subprocess.Popen[bytes]":
        """`credagent forward` in a process of its own, once it has said where it forwards to."""
        command = (*enter, str(BIN / "credagent"), "forward", "--scheduler", self.scheduler, *options)
        folder = self.folder / "sender"
        folder.mkdir(exist_ok=True)
        path = folder / f"forward-{len(self.processes)}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environ | environ, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        within(30, lambda: "forwarded to" in path.read_text(), "the forwarder", process)
        return process

    def dask(self, machine: Machine, name: str, *words: str, **environ: str) -> "subprocess.Popen[bytes]":
        command = (*machine.enter, self.python, "-m", "distributed.cli.dask_" + words[0], *words[1:])
        with (machine.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**machine.environ, **environ},
                stdout=log,
                stderr=log,
                cwd=machine.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.processes):
            end(process)
        for machine in self.machines:
            machine.stop_agent()

    def logs(self) -> str:
        return "\n".join(
            f"=== {path}\n{path.read_text(errors='replace')}" for path in sorted(self.folder.glob("*/*.log"))
        )


@contextlib.contextmanager
def staged(folder: Path, environ: dict[str, str]) -> Iterator[Stage]:
    stage = Stage(folder, environ)
    try:
        yield stage
    finally:
        stage.end()
        sys.stdout.write(stage.logs())  # kept by pytest where a test fails


def end(process: "subprocess.Popen[Any]", number: signal.Signals = signal.SIGTERM) -> None:
    """End a process and what it started; nannies and their workers are one session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def within(seconds: float, look: Callable[[], Any], what: str, process: "subprocess.Popen[bytes] | None" = None) -> Any:
    """Return what `look` finds as soon as that is something."""
    deadline = time.monotonic() + scaled(seconds)
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        if process is not None and process.poll() is not None:
            raise AssertionError(f"{what} ended with {process.returncode}")
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=scaled(60), **options)
