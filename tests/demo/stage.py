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


def start_cloud(stage: Stage) -> tuple[Remote, dict[str, str]]:
    """Start the simulator; return its controls, and the variables that point an AWS SDK at it."""
    state = stage.folder / "cloud.json"
    command = [sys.executable, "-m", "simulator", "--state-file", str(state)]
    process = stage.start("cloud", command, {**clean_environment(), "PYTHONPATH": str(ROOT / "tests")})
    while not state.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the simulated cloud did not start:\n{stage.log('cloud')}")
    ready = json.loads(state.read_text())
    return Remote(ready["addresses"]["admin"]), ready["environ"]


def credagent(*words: str, environ: Mapping[str, str], check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Type a credagent command."""
    command = [str(BIN / "credagent"), *words]
    return subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=check, timeout=60)


def status(socket: str) -> dict[str, Any]:
    """Return the running agent's status document; empty where none answers."""
    shown = credagent("status", "--json", environ={**clean_environment(), "CREDAGENT_SOCKET": socket}, check=False)
    document: dict[str, Any] = json.loads(shown.stdout) if shown.stdout else {}
    return document
