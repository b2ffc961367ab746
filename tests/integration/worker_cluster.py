"""A real Dask cluster, started by its own commands, whose processes load the worker's side by their environment."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from distributed import Client

from credagent.exec.dask_preload import preload_environment
from credagent.worker import credagent_worker
from tests.canary import log_file
from tests.integration.worker_tasks import worker_name
from tests.patience import scaled
from tests.standin import Running, StandIn

WORKER_PATH = os.path.dirname(credagent_worker.__file__)
ROOT = Path(__file__).parents[2]
PATIENCE_S = scaled(30)


class Cluster:
    """A scheduler, and workers as they are added; everything ends with the block."""

    def __init__(self, agent: Running, folder: Path, **environ: str) -> None:
        """Start the scheduler, and connect to it."""
        self.agent, self._folder = agent, folder
        # The workers import the tasks of the tests, by an import path and beside a preload of the user's own.
        base = {**os.environ, "CREDAGENT_SOCKET": agent.path, "PYTHONPATH": str(ROOT), **environ}
        self.environ = base | preload_environment(base, WORKER_PATH)
        self.processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        local = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.dask("scheduler", *local, "--scheduler-file", str(file))
        self.client = Client(scheduler_file=str(file), set_as_default=False, timeout=PATIENCE_S)
        self.address = str(self.client.scheduler_info()["address"])
        self.first: list[Any] = []

    def dask(self, command: str, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a dask command."""
        return self.run([sys.executable, "-m", "dask", command, *arguments], environ)

    def run(self, command: list[str], environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the cluster's environment, its output where the canary is searched."""
        with log_file("dask").open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**self.environ, **(environ or {})},
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def add_worker(self, *options: str, name: str, workers: int = 1, environ: Mapping[str, str] | None = None) -> None:
        """Start `dask worker`, and wait until all of its workers are there. Their names begin with `name`."""
        before = len(self.names())
        self.dask(
            "worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard", *options, environ=environ
        )
        self.client.wait_for_workers(before + workers, timeout=PATIENCE_S)

    def names(self) -> dict[str, str]:
        """Return the name of each worker, by address. Asked of the workers: what the client knows may be old."""
        found = self.client.run(worker_name, on_error="ignore")
        return {str(address): str(name) for address, name in found.items()}

    def on_workers(self, function: Any) -> dict[str, Any]:
        """Run `function` in every worker process; return the results by worker name."""
        found, names = self.client.run(function, on_error="ignore"), self.names()
        return {names[address]: value for address, value in found.items() if address in names}

    def __enter__(self) -> Self:
        """Be there for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that was started."""
        self.client.close()
        for process in self.processes:
            self._signal(process, signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(scaled(10))
            self._signal(process, signal.SIGKILL)  # a nanny's children, if it left some
            process.wait()

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # a session of its own: the number is not given anew while a member lives


@contextmanager
def agent_at(folder: Path, **environment: str) -> Iterator[Running]:
    """Run a stand-in for the agent below `folder`."""
    with Running(str(folder / "agent.sock"), StandIn(**environment)) as running:
        yield running


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder with a path short enough for a socket, which other users can enter."""
    folder = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
