"""One cluster of one environment: an agent, a scheduler with its pages, a forwarder, and each thing that is tried."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distributed.security import Security

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder.forward_credentials import forward_credentials
from tests.deployments.compatibility.environments import Environment
from tests.integration.clouds import WITHOUT_MACHINE
from tests.integration.forwarder.play import SECRET, write_key
from tests.integration.forwarder.stage import Machine, Stage, end, staged
from tests.patience import scaled
from tests.ports import free_port

DRIVER = Path(__file__).parent / "in_cluster.py"
WORKER_PATH = str(Path(__file__).parents[3] / "agent" / "credagent" / "worker")
TRIED_S = 900.0

Outcome = str  # "yes", or what went wrong


class Story:
    """What is tried in one environment, each with a cluster of its own unless it says otherwise."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.outcomes: dict[str, Outcome] = {}

    def play(self, *, many_workers: bool) -> None:
        """Try everything; nothing that fails keeps the rest from being tried."""
        with self._cluster() as cluster:
            cluster.workers("--nworkers", "2")
            with cluster.forwarded():
                self._try("nanny, `--nworkers 2`", lambda: cluster.ask("reads", 2))
                self._try("page *Credentials*, and the link to it", cluster.read_pages)
                self._try("`client.restart()`", lambda: cluster.ask("restart", 2))
                self._try("a killed worker", lambda: cluster.ask("killed", 2))
                self._try("P2P rechunk", lambda: cluster.ask("shuffle", 2))
                self._try("`upload_file`", lambda: cluster.ask("upload", 2))
                cluster.workers("--no-nanny")
                self._try("a late worker, no nanny", lambda: cluster.ask("reads", 3))
                cluster.workers("--nworkers", "4")
                self._try("four late ones, `--nworkers 4`", lambda: cluster.ask("reads", 7))
                preload = {"PYTHONPATH": WORKER_PATH, "DASK_DISTRIBUTED__WORKER__PRELOAD": "credagent_worker"}
                cluster.workers(**preload)
                self._try("preload `credagent_worker`", lambda: cluster.ask("reads", 8))
                # As `dask cuda worker` does, whose own list makes Dask leave that of the configuration aside.
                cluster.workers("--preload", "json", "--preload", "credagent_worker", PYTHONPATH=WORKER_PATH)
                self._try("beside other `--preload`s", lambda: cluster.ask("reads", 9))
            self._try("the same under another forwarder", cluster.forwarded_again)
        with self._cluster(tls=True) as cluster:
            cluster.workers()
            self._try("TLS", cluster.reads_over_tls)
        with self._cluster() as cluster:
            self._try("adaptive", cluster.adapts)
        if many_workers:
            with self._cluster() as cluster:
                cluster.workers("--nworkers", "20")
                with cluster.forwarded():
                    self._try("20 workers on a machine", lambda: cluster.ask("reads", 20))

    def overhead(self) -> tuple[float, float]:
        """Return the median seconds of a thousand tasks with and without forwarding."""
        with self._cluster() as without, self._cluster() as forwarding:
            without.workers("--nworkers", "2")
            forwarding.workers("--nworkers", "2")
            with forwarding.forwarded():
                said = forwarding.drive("overhead", forwarding.address, without.address)
        with_it, none = said.strip("[] \n").split(",")
        return float(with_it), float(none)

    def _try(self, what: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  what went wrong is what is measured
            self.outcomes[what] = str(error).strip().rpartition("\n")[2] or type(error).__name__
        else:
            self.outcomes[what] = "yes"
        print(f"  {what}: {self.outcomes[what]}", flush=True)

    @contextlib.contextmanager
    def _cluster(self, *, tls: bool = False) -> Iterator["Cluster"]:
        with tempfile.TemporaryDirectory(prefix="ca-c-") as folder:
            environ = {**os.environ, **WITHOUT_MACHINE, "CREDAGENT_WORKER_WAIT": "60s"}
            shown = sys.stdout
            with contextlib.redirect_stdout(io.StringIO()), staged(Path(folder), environ) as stage:
                stage.python = self._environment.python
                with contextlib.redirect_stdout(shown):
                    yield Cluster(stage, tls=tls)


class Cluster:
    """A scheduler and an agent on one machine."""

    def __init__(self, stage: Stage, *, tls: bool) -> None:
        self._stage = stage
        self._key: SenderPrivateKey = write_key(stage.folder / "sender.key")
        self._machine: Machine = stage.machine("node", self._key.public_key.line)
        self._pages = free_port()
        self._tls = _tls_files(stage.folder) if tls else ()
        pages = ("--dashboard-address", f"127.0.0.1:{self._pages}")
        self.address = stage.start_scheduler(self._machine, *pages, *self._tls, dashboard=True)

    def workers(self, *options: str, **environ: str) -> None:
        """Start workers. Whoever asks them waits until they are there."""
        self._stage.start_worker(self._machine, f"w{len(self._stage.processes)}", *options, *self._tls, **environ)

    @contextlib.contextmanager
    def forwarded(self, address: str = "", **options: Any) -> Iterator[None]:
        """Forward a variable, from this process and its Python."""
        forwarding = forward_credentials(
            address or self.address,
            aws=None,
            environ={"DB_TOKEN": SECRET},
            sender_key=self._stage.folder / "sender.key",
            trust="any",
            say=lambda _text: None,
            timeout=scaled(60),
            **options,
        )
        with forwarding:
            yield

    def forwarded_again(self) -> None:
        """Forward anew to processes that an earlier forwarder has supplied."""
        with self.forwarded():
            self.ask("reads", 9)

    def ask(self, what: str, workers: int) -> str:
        """Do something as a client of the cluster's own Dask."""
        return self.drive(what, self.address, str(workers))

    def drive(self, what: str, *words: str) -> str:
        """Run the driver; return what it printed. Raises RuntimeError with its last line of errors."""
        command = [self._stage.python, str(DRIVER), what, *words, SECRET]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=scaled(TRIED_S), env=self._stage.environ
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or f"exit {done.returncode}")
        return done.stdout

    def read_pages(self) -> None:
        """Read the page as anybody may, and find the link to it in Dask's own."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for page, expected in (("credentials", "environment"), ("status", 'href="credentials"')):
            with opener.open(f"http://127.0.0.1:{self._pages}/{page}", timeout=scaled(30)) as answer:
                if expected not in answer.read().decode():
                    raise RuntimeError(f"/{page} lacks {expected}")

    def reads_over_tls(self) -> None:
        """Forward over TLS, with the cluster's certificate as the reason to believe its machines; ask the agent."""
        command = [sys.executable, "-m", "credagent", "forward", "--scheduler", self.address, "--aws", "none", "--once"]
        command += ["--env", "DB_TOKEN", "--sender-key", str(self._stage.folder / "sender.key"), *self._tls]
        environ = {**self._stage.environ, "DB_TOKEN": SECRET}
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=scaled(90), env=environ)
        if done.returncode or self._machine.env_of_slot().get("DB_TOKEN") != SECRET:
            raise RuntimeError(done.stderr.strip() or f"exit {done.returncode}")

    def adapts(self) -> None:
        """Forward to a cluster that has no worker yet and then adds some."""
        command = [self._stage.python, str(DRIVER), "adaptive", "", "", SECRET]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, text=True, stdin=pipe, stdout=pipe, stderr=pipe, env=self._machine.environ, start_new_session=True
        ) as process:
            try:
                assert process.stdout is not None
                with self.forwarded(process.stdout.readline().strip()):
                    _, errors = process.communicate("forwarded\n", timeout=scaled(TRIED_S))
            finally:
                end(process)
        if process.returncode:
            raise RuntimeError(errors.strip() or f"exit {process.returncode}")


def _tls_files(folder: Path) -> tuple[str, ...]:
    """Make the certificates that Dask makes for a cluster of its own; return the options that name them."""
    temporary = Security.temporary()
    files = {
        "ca-file": temporary.tls_ca_file,
        "cert": temporary.tls_scheduler_cert,
        "key": temporary.tls_scheduler_key,
    }
    options: list[str] = []
    for name, text in files.items():
        (folder / f"{name}.pem").write_text(str(text))
        options += [f"--tls-{name}", str(folder / f"{name}.pem")]
    return tuple(options)
