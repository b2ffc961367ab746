"""What an idle agent costs that has used every source once: private memory, processor time, wake-ups; needs root.

A machine has one AWS identity of its own, so there are three
agents, one for each kind, and each goes through all other sources; the worst of the three counts. They end with an
assumed role and an impersonated account, so that every loop of their own goes on. Memory is counted from outside (an
agent makes itself non-dumpable), processor time and wake-ups (voluntary context switches of all its threads) by the
kernel, the former with its helper processes. An agent looks after its folders whenever something is mounted on its
machine, and whatever else runs on this one may mount at any time: so each agent has a mount namespace of its own.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.credentials import Slot, Statement
from credagent.secret import Secret
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, progress
from tests.demo.stage import Stage, start_cloud

CONTAINER_PATH = "/v2/credentials/2f1b6d4e-7b1f-4c39-8a44-0b7c5d0a9e11"  # the simulator's ECS task

SECONDS = 60
PATIENCE_S = 60.0
CALM_S = 10.0  # a file that was written is looked at again some seconds later
WATCHED = {"WATCHDOG_USEC": "60000000"}  # as in the unit
ASLEEP = "import time; time.sleep(60)"
APART = ("unshare", "--mount", "--propagation", "private")
CONFIGURATION = """
[aws]
assumable_roles = ["arn:aws:iam::123456789012:role/reader"]
[google]
impersonable = ["reader@dask-project.iam.gserviceaccount.com"]
admit_refresh_token = true
[endpoint]
listen = ["127.0.0.1:0"]
"""


def figures(installed: node.Installed) -> Iterator[Figure]:
    """Use every source, wait, and measure, for as long as an idle agent looks at the clock twice."""
    installed = replace(installed, credagent=(*APART, *installed.credagent))
    with tempfile.TemporaryDirectory(prefix="ca-bi-") as folder, Stage(Path(folder)) as stage, ExitStack() as agents:
        progress("idle: three agents use every source")
        cloud, environ, addresses = start_cloud(stage)
        environ |= {"CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": addresses["google-iam"], **WATCHED}
        machines, pids = [], []
        for origin, own in machine_identities(Path(folder), cloud, addresses).items():
            (Path(folder) / origin).mkdir()
            machine = node.make(Path(folder) / origin, CONFIGURATION)
            process, _ = agents.enter_context(node.agent(installed, machine, {**environ, **own}))
            use_every_source(machine, origin, cloud, addresses)
            machines.append(machine)
            pids.append(process.pid)
        time.sleep(CALM_S)
        progress(f"idle: {SECONDS} s")
        before = [cost(pid) for pid in pids]
        time.sleep(SECONDS)
        after = [cost(pid) for pid in pids]
        memory = tuple(node.uss_mb(pid) for pid in pids)
        for machine in machines:
            node.ask(machine, "status")
        asked = tuple(node.uss_mb(pid) for pid in pids)
        with subprocess.Popen([*installed.bare[:-1], ASLEEP]) as sleeper:
            time.sleep(1)
            bare = (node.uss_mb(sleeper.pid),)
            sleeper.kill()
    shares, wake_ups = (
        tuple((now[which] - then[which]) / SECONDS for now, then in zip(after, before, strict=True)) for which in (0, 1)
    )
    yield Figure(name="wake-ups of an idle agent", unit="/s", values=wake_ups, aim=Aim(0.05))
    yield Figure(name="processor of an idle agent", unit="%", values=tuple(100 * one for one in shares), aim=Aim(0.1))
    yield Figure(name="memory (USS)", unit="MB", values=memory, beside="bare interpreter", reference=bare, aim=Aim(28))
    yield Figure(name="memory (USS) after a status", unit="MB", values=asked, beside="bare interpreter", reference=bare)


def machine_identities(folder: Path, cloud: Any, addresses: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return, for each kind of a machine's own AWS identity by its origin, what an agent's environment says of it."""
    token = folder / "web-identity-token"
    token.write_text("header.claims.signature")
    cloud.trust_web_identity(token.read_text())
    web_identity = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": cloud.create_role("pod")}
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": addresses["container"] + CONTAINER_PATH}
    return {"aws-metadata": {}, "container": container, "web-identity": web_identity}


def use_every_source(machine: node.Node, origin: str, cloud: Any, addresses: dict[str, str]) -> None:
    """Have each source tried with success; the order ends with those that the agent renews itself."""
    wait_for(machine, origin, "google-metadata")
    role = cloud.create_role("reader")
    cloud.allow_impersonation("*", "reader@*")
    reader = cloud.create_service_account("reader")
    user = cloud.create_refresh_token("ada@example.org", scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = cloud.issue_session("dask-node")
    token = cloud.issue_google_token("ada@example.org")
    forwarded = AwsSessionGrant(
        access_key_id=session["access_key_id"],
        secret_access_key=Secret(session["secret_access_key"]),
        session_token=Secret(session["session_token"]),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        region="eu-central-1",
    )
    give(
        machine,
        forwarded,
        GoogleAccessTokenGrant(
            access_token=Secret(token["access_token"]), expires_at=datetime.now(UTC) + timedelta(hours=1)
        ),
    )
    wait_for(machine, "bundle", "bundle")
    refresh = GoogleAuthorizedUserGrant(
        client_id=user["client_id"],
        client_secret=Secret(user["client_secret"]),
        refresh_token=Secret(user["refresh_token"]),
        token_uri=addresses["oauth"] + "/token",
    )
    give(machine, AwsAssumeRoleGrant(role_arn=role, region="eu-central-1", session=forwarded), refresh)
    wait_for(machine, "assumed-role", "refresh-token")
    give(machine, AwsAssumeRoleGrant(role_arn=role, region="eu-central-1"), GoogleImpersonationGrant(target=reader))
    wait_for(machine, "assumed-role", "impersonation")


def give(machine: node.Node, aws: Grant, google: Grant) -> None:
    """Put a bundle into the inbox that grants all three slots."""
    letter = node.bundle()
    variables = next(grant for grant in letter.grants if isinstance(grant, EnvironmentGrant))
    slots = dict.fromkeys(Slot, Statement.GRANTED)
    node.put(machine, replace(letter, slots=slots, grants=(aws, google, variables)))


def wait_for(machine: node.Node, aws: str, google: str) -> None:
    """Wait until the slots have these origins. `status` is not asked: it would load what measures memory."""
    until = time.monotonic() + PATIENCE_S
    origins: dict[str, str] = {}
    while origins != {"aws": aws, "google": google}:
        if time.monotonic() > until:
            raise SystemExit(f"the agent holds {origins}, not {aws} and {google}")
        time.sleep(0.2)
        shown: Any = node.ask(machine, "set")["slots"]
        origins = {slot: shown[slot]["origin"] for slot in ("aws", "google")}


def cost(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process and of its children that have ended, and how often it has waited."""
    return node.cpu_s(pid) + node.children_s(pid), node.wake_ups(pid)
