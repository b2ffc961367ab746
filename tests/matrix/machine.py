"""The machine of the matrix: a cloud, an agent that assumes a role and impersonates an account, Dask workers.

Workers are processes of another user than the agent, as on a node; they keep one capability, to read everything, since
this checkout and its Python may lie where that user may not go.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from distributed import Client

from tests.demo.person import Person
from tests.demo.stage import BIN, ROOT, Stage, clean_environment, credagent, status
from tests.matrix.content import fill
from tests.matrix.network import METADATA_ADDRESS
from tests.matrix.reading import AWS_ROWS
from tests.matrix.rows import GCS_VARIABLE, S3_VARIABLE, bucket
from tests.patience import scaled
from tests.simulator.remote import Remote

AUDIENCE = "matrix"
ROLE = "matrix-reader"
METADATA = {"aws": "imds", "google": "google-metadata"}
WAIT_S = scaled(120.0)
WORKER_UID = 1033  # not 65534, which is what a user namespace shows of everybody it does not know


class Setting(NamedTuple):
    """What is configured on a machine, whether a bundle was put in force there, and whose metadata it has."""

    handover: Literal["endpoint", "environment", "off"]
    forwarded: bool = True
    fallback: Literal["absent", "never"] = "absent"
    vendor: Literal["aws", "google"] = "aws"
    intercept: bool = False


class Machine:
    """Everything below one folder, for one setting."""

    def __init__(self, stage: Stage, setting: Setting, *, lifetime_s: float) -> None:
        """Start the cloud and the agent, and put a bundle in force; credentials live for `lifetime_s`."""
        self.stage, self.setting = stage, setting
        forget_interception()
        self.run_dir = stage.folder / "run"
        self.home = stage.folder / "home"
        self.home.mkdir()
        if os.geteuid() == 0:
            os.chown(self.home, WORKER_UID, WORKER_UID)
        self.socket = str(self.run_dir / "agent.sock")
        self._addresses, self._cloud_environ, self.cloud = _start_cloud(stage, METADATA[setting.vendor])
        self._role = self.cloud.create_role(ROLE)
        self._account = self.cloud.create_service_account("matrix")
        self.cloud.allow_impersonation("*", "*")
        fill(self.cloud)
        self.lifetime(lifetime_s)
        laptop = {**clean_environment(), "HOME": str(stage.folder)}
        bundle_home = self.run_dir / "inbox" / "bundle"
        self._person = Person(stage.folder / "laptop", laptop, audience=AUDIENCE, inbox=bundle_home)
        self._configure()
        if setting.intercept:
            self._intercept()
        self.start_agent()
        self._person.recipient = status(self.socket)["public_key"]
        if setting.forwarded:
            self.grant()

    def grant(self) -> None:
        """Put a bundle in force by which the agent obtains a session and a token."""
        person = self._person
        person.put(person.seal("--aws", "none", "--assume-role", self._role, "--impersonate", self._account))
        self.wait("the slots are filled", self._filled)

    def withdraw(self) -> None:
        """Take both back."""
        person = self._person
        person.put(person.seal(command="withdraw aws google"))
        self.wait("the slots are empty", lambda: {*self._of_slots("statement")} == {"withdrawn"})

    def lifetime(self, seconds: float) -> None:
        """Let new credentials live so long, whatever is asked for."""
        for service in ("sts", "google-iam"):
            self.cloud.expire_after(service, seconds)

    def start_agent(self) -> None:
        """Start `credagent run` and wait until it answers."""
        environ = {**clean_environment(), **self._cloud_environ, "HOME": str(self.stage.folder)}
        environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"] = self._addresses["google-iam"]
        self.stage.start("agent", [str(BIN / "credagent"), "run", "--config", self.config], environ)
        self.wait("the agent answers", lambda: bool(status(self.socket)))

    def stop_agent(self) -> None:
        """End the agent as a service manager would."""
        process = self.stage.running.pop("agent")
        process.terminate()
        process.wait(10)

    def start_cluster(self, rows: Iterable[str]) -> tuple[Client, dict[str, str]]:
        """Start a scheduler and one worker for each row; return the client and each row's worker."""
        names = list(rows)
        environ = self.worker_environ()
        file = self.home / "scheduler.json"
        dask = self.by_exec(sys.executable, "-m", "dask")
        scheduler = ["scheduler", "--host", "tcp://127.0.0.1", "--port", "0", "--no-dashboard"]
        self.stage.start("scheduler", [*dask, *scheduler, "--scheduler-file", str(file)], environ)
        self.wait("the scheduler listens", file.exists)
        worker = ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        many = ["--nworkers", str(len(names)), "--name", "row", "--local-directory", str(self.home / "scratch")]
        self.stage.start("workers", [*dask, *worker, *many], environ)
        client = Client(scheduler_file=str(file), timeout=30)
        client.wait_for_workers(len(names), timeout=WAIT_S)
        return client, {row: f"row-{number}" for number, row in enumerate(names)}

    def by_exec(self, *command: str) -> list[str]:
        """Return the words by which a worker's user starts a program with credentials."""
        return [*_as_worker(), str(BIN / "credagent"), "exec", "--config", self.config, "--", *command]

    def bare(self, *command: str, more: Mapping[str, str] = {}) -> list[str]:
        """Return the words by which a worker's user starts a program that nobody supplies, in a region it knows."""
        region = self._cloud_environ["AWS_REGION"]
        variables = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, **more}
        return [*_as_worker(), "env", *(f"{name}={value}" for name, value in variables.items()), *command]

    def run(self, *command: str, timeout_s: float) -> str | None:
        """Start a program and return what it said of its failure, empty where it had none; None: it still tried."""
        process = subprocess.Popen(
            command, env=self.worker_environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.terminate()  # `exec` ends its child with it
            process.communicate()
            return None
        return (said.strip() or f"exit status {process.returncode}") if process.returncode else ""

    def used(self, row: str, since: int) -> list[dict[str, Any]]:
        """Return the calls that concern a row's bucket."""
        service = "s3" if row in AWS_ROWS else "gcs"
        calls = self.cloud.log(service=service, since=since)
        return [call for call in calls if bucket(row) in unquote(call["path"]).split("/")]

    def wait(self, what: str, seen: Callable[[], bool]) -> None:
        """Wait until `seen`."""
        until = time.monotonic() + WAIT_S
        while not seen():
            if time.monotonic() > until:
                logs = "\n".join(f"--- {name}\n{self.stage.log(name)[-2000:]}" for name in self.stage.running)
                raise TimeoutError(f"waited in vain until {what}\n{logs}")
            time.sleep(0.2)

    def worker_environ(self) -> dict[str, str]:
        """The workers' side knows where the stores are, and nothing of credentials; the machine's own are in reach."""
        environ = {**clean_environment(), "HOME": str(self.home), "CREDAGENT_SOCKET": self.socket}
        for closed in ("AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK"):
            del environ[closed]
        return environ | {
            S3_VARIABLE: self._addresses["s3"],
            GCS_VARIABLE: self._addresses["gcs"],
            "PYTHONPATH": str(ROOT),
            # Asks by gRPC what kind of bucket this is: half a minute for each read where no such server is.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            # GDAL asks instance metadata only where the machine's firmware says that it is Amazon's.
            "CPL_AWS_AUTODETECT_EC2": "NO",
            "HDF5_ROS3_VFD_FORCE_PATH_STYLE": "TRUE",
        }

    def _intercept(self) -> None:
        """Load the rules of interception, as a unit of the node does."""
        rules = credagent("check-config", "--config", self.config, "--nftables", environ=clean_environment()).stdout
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def _of_slots(self, field: str) -> list[str]:
        slots = status(self.socket).get("slots", {})
        return [slots.get(name, {}).get(field) for name in ("aws", "google")]

    def _filled(self) -> bool:
        return self._of_slots("origin") == ["assumed-role", "impersonation"]

    @property
    def config(self) -> str:
        """The agent's configuration, which `exec` reads too."""
        return str(self.stage.folder / "config.toml")

    def _configure(self) -> None:
        setting = self.setting
        google = "off" if setting.handover == "off" else "metadata"
        users = f'["{WORKER_UID}"]' if _as_worker() else "[]"
        region = self._cloud_environ["AWS_REGION"]
        (self.stage.folder / "config.toml").write_text(
            f'[agent]\naudience = "{AUDIENCE}"\nruntime_dir = "{self.run_dir}"\n'
            f'state_dir = "{self.stage.folder / "state"}"\n'
            f'[bundle]\ntrusted_senders = ["file:{self._person.public_key}"]\n'
            f'[aws]\nhandover = "{setting.handover}"\nfallback = "{setting.fallback}"\n'
            f'assumable_roles = ["{self._role}"]\nregion = "{region}"\n'
            f'[google]\nhandover = "{google}"\nfallback = "{setting.fallback}"\n'
            f'impersonable = ["{self._account}"]\nproject = "matrix"\n'
            f"[workers]\nusers = {users}\ngroups = []\n" + ("intercept = true\n" if setting.intercept else "")
        )


def forget_interception() -> None:
    """Remove the rules that a machine before this one has left in this network."""
    if shutil.which("nft") is not None:
        subprocess.run(["nft", "delete", "table", "inet", "credagent"], check=False, capture_output=True)


def may_intercept() -> bool:
    """Tell whether rules can be loaded here and workers are another user than root, who is never redirected."""
    return bool(_as_worker()) and shutil.which("nft") is not None


def _as_worker() -> list[str]:
    """Return the words that make a program the worker's user's; none where this is not root."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    user = [f"--reuid={WORKER_UID}", f"--regid={WORKER_UID}", "--clear-groups"]
    return ["setpriv", *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def _start_cloud(stage: Stage, metadata: str) -> tuple[dict[str, str], dict[str, str], Remote]:
    state = stage.folder / "cloud.json"
    listen = ["--listen", f"{metadata}={METADATA_ADDRESS}:80"]
    command = [sys.executable, "-m", "simulator", "--state-file", str(state), *listen]
    process = stage.start("cloud", command, {**clean_environment(), "PYTHONPATH": str(ROOT / "tests")})
    while not state.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the simulated cloud did not start:\n{stage.log('cloud')}")
        time.sleep(0.05)
    ready = json.loads(state.read_text())
    return ready["addresses"], ready["environ"], Remote(ready["addresses"]["admin"])
