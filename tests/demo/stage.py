"""The demo's processes, as in life: a cloud, an agent, a scheduler, two workers; and the commands a person types."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from credagent.worker import credagent_worker
from tests.simulator.remote import Remote

BIN = Path(sys.executable).parent
END_S = 10.0
ROOT = Path(__file__).resolve().parents[2]


class Stage:
    """All processes below one folder. Whatever happens, leaving it ends them."""

    def __init__(self, folder: Path) -> None:
        """Keep everything, logs included, in `folder`."""
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every process, the youngest first."""
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stack.close()

    def start(self, name: str, command: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; what it says goes to `NAME.log`."""
        log = self._stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            command, env=dict(environ), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self.running[name] = process
        return process

    def kill(self, name: str) -> None:
        """End one process as a crash would."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        """Return what a process has said."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


def clean_environment() -> dict[str, str]:
    """Return an environment without anybody's credentials or configuration, and closed to metadata services."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TERM") if name in os.environ}
    return {**kept, "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}


def start_cloud(stage: Stage, *options: str) -> tuple[Remote, dict[str, str], dict[str, str]]:
    """Start the simulator; return its controls, the variables that point an SDK at it, and its addresses."""
    state = stage.folder / "cloud.json"
    command = [sys.executable, "-m", "simulator", "--state-file", str(state), *options]
    process = stage.start("cloud", command, {**clean_environment(), "PYTHONPATH": str(ROOT / "tests")})
    while not state.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the simulated cloud did not start:\n{stage.log('cloud')}")
    ready = json.loads(state.read_text())
    return Remote(ready["addresses"]["admin"]), ready["environ"], ready["addresses"]


def credagent(*words: str, environ: Mapping[str, str], check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Type a credagent command."""
    command = [str(BIN / "credagent"), *words]
    return subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=check, timeout=60)


def status(socket: str) -> dict[str, Any]:
    """Return the running agent's status document, as `credagent status --json` shows it; empty where none answers."""
    try:
        return credagent_worker.ask({"op": "status"}, socket)
    except credagent_worker.AgentAbsent:
        return {}


def worker_environment(stage: Stage, socket: str) -> dict[str, str]:
    """Return the environment in which Dask loads the worker's side, and finds the demo's tasks."""
    path = credagent("worker-path", environ=clean_environment()).stdout.strip()
    return {
        **clean_environment(),
        "HOME": str(stage.folder),
        "CREDAGENT_SOCKET": socket,
        "PYTHONPATH": f"{path}:{ROOT}",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": '["credagent_worker"]',
        "DASK_DISTRIBUTED__SCHEDULER__PRELOAD": '["credagent_worker"]',
    }


def start_scheduler(stage: Stage, environ: Mapping[str, str]) -> Path:
    """Start a Dask scheduler on loopback; return the file in which it says where it listens."""
    file = stage.folder / "scheduler.json"
    options = ["--host", "tcp://127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    stage.start("scheduler", [sys.executable, "-m", "dask", "scheduler", *options], environ)
    return file


def start_worker(stage: Stage, name: str, environ: Mapping[str, str], *options: str) -> None:
    """Start a Dask worker with a nanny."""
    file = str(stage.folder / "scheduler.json")
    known = ["--scheduler-file", file, "--name", name, "--nthreads", "1", "--no-dashboard"]
    scratch = ["--local-directory", str(stage.folder / f"scratch-{name}")]
    stage.start(name, [sys.executable, "-m", "dask", "worker", *known, *scratch, *options], environ)
