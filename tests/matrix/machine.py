"""The machine of the matrix: a cloud, an agent that assumes a role and impersonates an account, Dask workers."""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from distributed import Client

from tests.demo.person import Person
from tests.demo.stage import BIN, ROOT, Stage, clean_environment, credagent, status
from tests.matrix.network import METADATA_ADDRESS
from tests.matrix.reading import AWS_ROWS, BUCKET, GCS_VARIABLE, ROWS, key
from tests.simulator.remote import Remote

AUDIENCE = "matrix"
ROLE = "matrix-reader"
WAIT_S = 60.0


class Machine:
    """Everything below one folder, for one handover of the AWS slot."""

    def __init__(self, stage: Stage, handover: str, *, lifetime_s: float) -> None:
        """Start the cloud and the agent, and put a bundle in force; credentials live for `lifetime_s`."""
        self.stage, self.handover = stage, handover
        self.run_dir = stage.folder / "run"
        self.socket = str(self.run_dir / "agent.sock")
        self._addresses, self._cloud_environ, self.cloud = _start_cloud(stage)
        self._fill_the_cloud()
        self.lifetime(lifetime_s)
        bundle_home = self.run_dir / "inbox" / "bundle"
        laptop = {**clean_environment(), "HOME": str(stage.folder)}
        person = Person(stage.folder / "laptop", laptop, audience=AUDIENCE, inbox=bundle_home)
        self._configure(person)
        self.start_agent()
        person.recipient = status(self.socket)["public_key"]
        person.put(person.seal("--aws", "none", "--assume-role", self._role, "--impersonate", self._account))
        self.wait("the slots are filled", self._filled)

    def lifetime(self, seconds: float) -> None:
        """Let new credentials live so long, whatever is asked for."""
        for service in ("sts", "google-iam"):
            self.cloud.expire_after(service, seconds)

    def start_agent(self) -> None:
        """Start `credagent run` and wait until it answers."""
        config = str(self.stage.folder / "config.toml")
        environ = {**clean_environment(), **self._cloud_environ, "HOME": str(self.stage.folder)}
        environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"] = self._addresses["google-iam"]
        self.stage.start("agent", [str(BIN / "credagent"), "run", "--config", config], environ)
        self.wait("the agent answers", lambda: bool(status(self.socket)))

    def start_cluster(self, rows: Iterable[str]) -> tuple[Client, dict[str, str]]:
        """Start a scheduler and one worker for each row; return the client and each row's worker."""
        names = list(rows)
        environ = self.worker_environ()
        file = self.stage.folder / "scheduler.json"
        dask = [sys.executable, "-m", "dask"]
        execute = [str(BIN / "credagent"), "exec", "--config", str(self.stage.folder / "config.toml"), "--"]
        scheduler = ["scheduler", "--host", "tcp://127.0.0.1", "--port", "0", "--no-dashboard"]
        self.stage.start("scheduler", [*execute, *dask, *scheduler, "--scheduler-file", str(file)], environ)
        self.wait("the scheduler listens", file.exists)
        worker = ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        many = ["--nworkers", str(len(names)), "--name", "row", "--local-directory", str(self.stage.folder / "scratch")]
        self.stage.start("workers", [*execute, *dask, *worker, *many], environ)
        client = Client(scheduler_file=str(file), timeout=30)
        client.wait_for_workers(len(names), timeout=WAIT_S)
        return client, {row: f"row-{number}" for number, row in enumerate(names)}

    def stop_agent(self) -> None:
        """End the agent as a service manager would."""
        process = self.stage.running.pop("agent")
        process.terminate()
        process.wait(10)

    def renew(self) -> None:
        """Let the agent obtain new credentials now."""
        credagent("renew", environ={**clean_environment(), "CREDAGENT_SOCKET": self.socket})

    def used(self, row: str, since: int) -> list[dict[str, Any]]:
        """Return the calls that read a row's objects."""
        prefix = key(row, "")
        services = ("s3",) if row in AWS_ROWS else ("gcs",)
        calls = (call for service in services for call in self.cloud.log(service=service, since=since))
        return [call for call in calls if prefix in unquote(call["path"])]

    def wait(self, what: str, seen: Callable[[], bool]) -> None:
        """Wait until `seen`."""
        until = time.monotonic() + WAIT_S
        while not seen():
            if time.monotonic() > until:
                logs = "\n".join(f"--- {name}\n{self.stage.log(name)[-2000:]}" for name in self.stage.running)
                raise TimeoutError(f"waited in vain until {what}\n{logs}")
            time.sleep(0.2)

    def _filled(self) -> bool:
        slots = status(self.socket).get("slots", {})
        wanted = ("aws", "google") if self.handover == "endpoint" else ("aws",)
        return all(slots.get(name, {}).get("origin") in ("assumed-role", "impersonation") for name in wanted)

    def _configure(self, person: Person) -> None:
        google = "metadata" if self.handover == "endpoint" else "off"
        region = self._cloud_environ["AWS_REGION"]
        (self.stage.folder / "config.toml").write_text(
            f'[agent]\naudience = "{AUDIENCE}"\nruntime_dir = "{self.run_dir}"\n'
            f'state_dir = "{self.stage.folder / "state"}"\n'
            f'[bundle]\ntrusted_senders = ["file:{person.public_key}"]\n'
            f'[aws]\nhandover = "{self.handover}"\nassumable_roles = ["{self._role}"]\nregion = "{region}"\n'
            f'[google]\nhandover = "{google}"\nimpersonable = ["{self._account}"]\nproject = "matrix"\n'
            "[workers]\nusers = []\ngroups = []\n"
        )

    def worker_environ(self) -> dict[str, str]:
        """The workers' side knows where the stores are, and nothing of credentials; the machine's own are in reach."""
        environ = {**clean_environment(), "HOME": str(self.stage.folder), "CREDAGENT_SOCKET": self.socket}
        for closed in ("AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK"):
            del environ[closed]
        return environ | {
            "AWS_ENDPOINT_URL_S3": self._addresses["s3"],
            GCS_VARIABLE: self._addresses["gcs"],
            "PYTHONPATH": str(ROOT),
            # Asks by gRPC what kind of bucket this is: half a minute for each read where no such server is.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{METADATA_ADDRESS}",
        }

    def _fill_the_cloud(self) -> None:
        self._role = self.cloud.create_role(ROLE)
        self._account = self.cloud.create_service_account("matrix")
        self.cloud.allow_impersonation("*", "*")
        for store in ("s3", "gcs"):
            self.cloud.create_bucket(BUCKET, store=store)
        parquet = _parquet()
        for row in ROWS:
            self.cloud.put_object(BUCKET, key(row), parquet, store="s3" if row in AWS_ROWS else "gcs")
        self.cloud.put_object(BUCKET, key("rasterio", "data.tif"), _raster())
        for name, data in _delta_table():
            self.cloud.put_object(BUCKET, key("deltalake", f"table/{name}"), data)


def _start_cloud(stage: Stage) -> tuple[dict[str, str], dict[str, str], Remote]:
    state = stage.folder / "cloud.json"
    command = [sys.executable, "-m", "simulator", "--state-file", str(state), "--listen", f"imds={METADATA_ADDRESS}:80"]
    process = stage.start("cloud", command, {**clean_environment(), "PYTHONPATH": str(ROOT / "tests")})
    while not state.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the simulated cloud did not start:\n{stage.log('cloud')}")
        time.sleep(0.05)
    ready = json.loads(state.read_text())
    return ready["addresses"], ready["environ"], Remote(ready["addresses"]["admin"])


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(100))}), buffer)
    return buffer.getvalue()


def _raster() -> bytes:
    import numpy as np
    import rasterio

    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:4326") as raster:
            raster.write(np.ones((1, 8, 8), dtype="uint8"))
        return bytes(memory.read())


def _delta_table() -> list[tuple[str, bytes]]:
    import deltalake
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        deltalake.write_deltalake(folder, pa.table({"a": [1, 2, 3]}))
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return [(str(path.relative_to(folder)), path.read_bytes()) for path in files]
