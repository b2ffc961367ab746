"""The acts of the demo, in order. Each says what it shows, and which credential the cloud saw behind every read."""

import hashlib
import os
import signal
import time
from functools import partial
from typing import Any

from distributed import Client

from credagent.worker_environment.rendering import WITHDRAWN
from tests.demo import tasks
from tests.demo.account import Account
from tests.demo.google import show_google
from tests.demo.person import Person, bent
from tests.demo.stage import (
    BIN,
    Stage,
    clean_environment,
    credagent,
    start_cloud,
    start_scheduler,
    start_worker,
    status,
    worker_environment,
)

AUDIENCE = "demo-cluster"
SECRET_DATA = b"the private data"
SESSION_S = 20
RENEW_EVERY_S = 7.0
LIVING_S = 22.0
ROLE_S = 16.0
ROLE = "arn:aws:iam::123456789012:role/{}"


class Play:
    """What the acts share."""

    def __init__(self, stage: Stage, account: Account) -> None:
        """Set the stage: a cloud with private data, keys, an agent, a cluster."""
        self.stage, self.account = stage, account
        self.run_dir, self.state_dir = stage.folder / "run", stage.folder / "state"
        self.socket = str(self.run_dir / "agent.sock")
        self.cloud, self.cloud_environ, self.addresses = start_cloud(stage)

    def agent_environ(self) -> dict[str, str]:
        """The agent's machine has an instance profile."""
        return {**clean_environment(), **self.cloud_environ, "NO_GCE_CHECK": "true"}

    def start_agent(self) -> None:
        """Start `credagent run` and wait until it answers."""
        config = str(self.stage.folder / "config.toml")
        self.stage.start("agent", [str(BIN / "credagent"), "run", "--config", config], self.agent_environ())
        self.account.wait("the agent answers", lambda: status(self.socket), 15)

    def reads(self, client: Client, since: int) -> str:
        """Read on a worker as a user would; return the id of the credential that the cloud saw."""
        future = client.submit(tasks.read_object, tasks.BUCKET, tasks.KEY, pure=False)
        content = future.result(timeout=30)
        self.account.require(content == SECRET_DATA, "read_object returned the private data")
        seen = self.cloud.ids_used("s3", "GetObject", since=since)
        self.account.require(seen, f"the identity behind the read: {', '.join(seen)}")
        return str(seen[-1])

    def slot(self, name: str = "aws") -> dict[str, Any]:
        """One slot of the agent's status."""
        found: dict[str, Any] = status(self.socket)["slots"][name]
        return found


def play(stage: Stage, account: Account) -> None:
    """Play all acts."""
    account.step("The stage: a simulated cloud, a cluster machine with the agent, a Dask cluster")
    play_ = Play(stage, account)
    person = _set_up(play_)
    with _cluster(play_) as client:
        _forward(play_, person, client)
        _live(play_, person, client)
        _kill_a_worker(play_, client)
        _kill_the_agent(play_, client)
        person.leave()
        _leave(play_, person, client)
        _decline(play_, person, client)
        _refuse(play_, person, client)
        _hand_over_a_token(play_, person, client)
        _withdraw(play_, person, client)
        show_google(play_.stage, play_.account, play_.cloud, play_.addresses, client)


def _set_up(play: Play) -> Person:
    cloud, stage, account = play.cloud, play.stage, play.account
    user = cloud.create_user("ana")
    cloud.create_bucket(tasks.BUCKET)
    cloud.put_object(tasks.BUCKET, tasks.KEY, SECRET_DATA.decode())
    cloud.expire_after("sts", SESSION_S)
    cloud.expire_after("imds", 15 * SESSION_S)
    laptop = {
        **clean_environment(),
        "HOME": str(stage.folder),
        "AWS_ENDPOINT_URL_STS": play.cloud_environ["AWS_ENDPOINT_URL_STS"],
        "AWS_ACCESS_KEY_ID": user["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": user["secret_access_key"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    person = Person(stage.folder / "laptop", laptop, audience=AUDIENCE, inbox=play.run_dir / "inbox" / "bundle")
    (stage.folder / "config.toml").write_text(
        f'[agent]\naudience = "{AUDIENCE}"\nruntime_dir = "{play.run_dir}"\nstate_dir = "{play.state_dir}"\n'
        f'[bundle]\ntrusted_senders = ["file:{person.public_key}"]\n'
        f'[aws]\nassumable_roles = ["{ROLE.format("*")}"]\n[google]\nhandover = "off"\n'
    )
    play.start_agent()
    person.recipient = status(play.socket)["public_key"]
    whoami = credagent("whoami", environ=laptop).stdout.strip().splitlines()
    account.fact("the identity on the laptop, as `credagent whoami` says:")
    for line in whoami:
        account.fact(f"    {line}")
    return person


def _cluster(play: Play) -> Client:
    environ = worker_environment(play.stage, play.socket)
    environ["AWS_ENDPOINT_URL_S3"] = play.cloud_environ["AWS_ENDPOINT_URL_S3"]
    file = start_scheduler(play.stage, environ)
    play.account.wait("the scheduler listens", file.exists, 30)
    for name in ("worker-1", "worker-2"):
        start_worker(play.stage, name, environ)
    client = Client(scheduler_file=str(file), timeout=30)
    play.account.wait("both workers are there", lambda: len(client.scheduler_info()["workers"]) == 2, 40)
    play.account.fact("a scheduler and two workers with nannies; the workers may not ask the metadata service")
    return client


def _forward(play: Play, person: Person, client: Client) -> None:
    play.account.step("A sealed session is delivered: the worker reads with the laptop's identity")
    since = play.cloud.last_seq()
    person.put(person.seal())
    for line in person.said.strip().splitlines():
        play.account.fact(f"seal: {line.removeprefix('credagent: ')}")
    play.account.wait("the session is in force", lambda: play.slot()["origin"] == "bundle", 5)
    used = play.reads(client, since)
    issued = play.cloud.credential(used)
    play.account.require("ana" in issued["principal"], f"{used} was issued by STS to {issued['principal']}")
    person.stay(RENEW_EVERY_S)


def _live(play: Play, person: Person, client: Client) -> None:
    play.account.step(f"Sessions of {SESSION_S} s expire and are replaced under one living client object")
    reader: Any = client.submit(tasks.Reader, actor=True).result(timeout=30)
    since, pids, reads = play.cloud.last_seq(), set(), 0
    until = time.monotonic() + LIVING_S
    while time.monotonic() < until:
        process, content = reader.read().result()
        pids.add(process)
        reads += content == SECRET_DATA
        used = play.cloud.ids_used("s3", "GetObject", since=since)
        left_s = until - time.monotonic()
        play.account.progress(f"{left_s:.0f} s to go; {reads} reads; sessions so far: {', '.join(used)}")
        time.sleep(0.5)
    play.account.progress("")
    failed = [call for call in play.cloud.log("s3", "GetObject", since=since) if call["code"] != "ok"]
    used = play.cloud.ids_used("s3", "GetObject", since=since)
    play.account.require(not person.failures, "the person renewed without an error")
    play.account.require(reads and not failed, f"{reads} reads by one client object, none failed")
    play.account.require(len(pids) == 1, f"all in one process (pid {min(pids)})")
    play.account.require(len(used) >= 3, f"{len(used)} sessions behind them: {', '.join(used)}")


def _kill_a_worker(play: Play, client: Client) -> None:
    play.account.step("A worker process is killed; its nanny's new one reads at once")
    workers = client.scheduler_info()["workers"]
    before = client.submit(tasks.pid, workers=[min(workers)], pure=False).result(timeout=30)
    os.kill(before, signal.SIGKILL)
    since = play.cloud.last_seq()
    play.account.wait(
        "the successor is there",
        lambda: (
            before not in client.run(tasks.pid, on_error="ignore").values()
            and len(client.scheduler_info()["workers"]) == 2
        ),
        30,
    )
    addresses = client.scheduler_info()["workers"]
    new = next(one for one in addresses if one not in workers)
    after = client.submit(tasks.pid, workers=[new], pure=False).result(timeout=30)
    content = client.submit(tasks.read_object, tasks.BUCKET, tasks.KEY, workers=[new], pure=False).result(timeout=30)
    used = play.cloud.ids_used("s3", "GetObject", since=since)
    play.account.require(content == SECRET_DATA and used, f"pid {before} was killed, pid {after} read with {used[-1]}")


def _kill_the_agent(play: Play, client: Client) -> None:
    play.account.step("The agent is killed; workers go on, and nothing is lost when it returns")
    before = status(play.socket)
    play.stage.kill("agent")
    play.reads(client, play.cloud.last_seq())
    play.start_agent()
    after = status(play.socket)
    play.account.require(
        after["bundle"]["sequence"] >= before["bundle"]["sequence"] and after["slots"]["aws"]["origin"] == "bundle",
        f"the bundle in force was re-admitted (sequence {after['bundle']['sequence']})",
    )
    play.account.require(after["generation"] >= before["generation"], f"generation {after['generation']} follows")
    play.account.wait("both workers and the scheduler are back", lambda: _subscribed(play) == 3, 15)
    play.account.fact("both workers and the scheduler subscribed again by themselves")
    play.reads(client, play.cloud.last_seq())


def _subscribed(play: Play) -> int:
    document = status(play.socket)
    return sum(one["generation"] == document["generation"] for one in document.get("workers", []))


def _leave(play: Play, person: Person, client: Client) -> None:
    play.account.step("The sender leaves; a role that a bundle lets the machine assume goes on renewing")
    play.cloud.create_role("reader", trusts=["*:assumed-role/dask-node/*"])
    person.put(person.seal("--aws", "none", "--assume-role", ROLE.format("reader")))
    play.account.wait("the role was assumed", lambda: play.slot()["origin"] == "assumed-role", 20)
    play.account.fact(f"the principal: {play.slot()['principal']}; the sender is gone")
    since, until = play.cloud.last_seq(), time.monotonic() + ROLE_S
    while time.monotonic() < until:
        client.submit(tasks.read_object, tasks.BUCKET, tasks.KEY, pure=False).result(timeout=30)
        play.account.progress(f"{until - time.monotonic():.0f} s to go")
        time.sleep(0.5)
    play.account.progress("")
    calls = play.cloud.log("s3", "GetObject", since=since)
    used = [name for name in play.cloud.ids_used("s3", "GetObject", since=since) if name.startswith("assume-role")]
    play.account.require(all(call["code"] == "ok" for call in calls), f"{len(calls)} reads, none failed")
    play.account.require(len(used) >= 3, f"{len(used)} sessions of the role behind them: {', '.join(used)}")


def _decline(play: Play, person: Person, client: Client) -> None:
    play.account.step("The sender declines AWS: the instance profile takes over")
    person.put(person.seal("--aws", "none"))
    play.account.wait("the machine's own identity is in force", lambda: play.slot()["origin"] == "aws-metadata", 20)
    play.account.wait("all processes have it", lambda: _subscribed(play) == 3, 5)
    used = play.reads(client, play.cloud.last_seq())
    play.account.require(used.startswith("imds"), f"origin {play.slot()['origin']}: {play.slot()['principal']}")


def _refuse(play: Play, person: Person, client: Client) -> None:
    play.account.step("Tampered, replayed and foreign bundles are refused, and nothing changes")
    old = person.seal("--aws", "none")
    new = person.seal("--aws", "none")
    person.put(new)
    shown = credagent("inspect", str(new), environ=clean_environment()).stdout
    play.account.wait("the newer is in force", lambda: status(play.socket)["bundle"]["bundle_id"] in shown, 5)
    stranger = Person(play.stage.folder / "stranger", person.environ, audience=AUDIENCE, inbox=person.inbox)
    stranger.recipient = person.recipient
    foreign = stranger.seal("--aws", "none", "--env", "PLANTED", PLANTED="by a stranger")
    before = status(play.socket)
    for name, bundle, code in (
        ("tampered", bent(new), "bad-signature"),
        ("replayed", old, "replayed"),
        ("foreign", foreign, "untrusted-sender"),
    ):
        person.put(bundle)
        play.account.wait(f"the {name} bundle is refused", partial(_is_refused, play, code), 5)
        after = status(play.socket)
        play.account.require(_in_force(after) == _in_force(before), f"{name}: refused as {code}; nothing has changed")
    play.reads(client, play.cloud.last_seq())


def _in_force(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a refused bundle must not change (renewals go on meanwhile)."""
    origins = {name: (slot["origin"], slot["statement"]) for name, slot in document["slots"].items()}
    return {"bundle": document["bundle"]["bundle_id"], **origins}


def _is_refused(play: Play, code: str) -> bool:
    return any(refusal["code"] == code for refusal in status(play.socket)["bundle"]["refused"])


def _hand_over_a_token(play: Play, person: Person, client: Client) -> None:
    play.account.step("A custom token reaches a task")
    token = hashlib.sha256(str(time.time()).encode()).hexdigest()
    person.put(person.seal("--aws", "none", "--env", "DEMO_DATABASE_TOKEN", DEMO_DATABASE_TOKEN=token))
    play.account.wait("the token is in force", lambda: play.slot("environment")["origin"] == "bundle", 5)
    play.account.wait("all processes have it", lambda: _subscribed(play) == 3, 5)
    seen = client.submit(tasks.hash_of, "DEMO_DATABASE_TOKEN", pure=False).result(timeout=30)
    play.account.require(
        seen == hashlib.sha256(token.encode()).hexdigest(), "a task hashed DEMO_DATABASE_TOKEN: the token that was sent"
    )


def _withdraw(play: Play, person: Person, client: Client) -> None:
    play.account.step("Everything is withdrawn: values are overwritten, reads fail")
    person.put(person.seal(command="withdraw aws environment"))
    play.account.wait("the withdrawal is in force", lambda: play.slot()["statement"] == "withdrawn", 5)
    play.account.wait("all processes have it", lambda: _subscribed(play) == 3, 5)
    since = play.cloud.last_seq()
    outcome = client.submit(tasks.read_object, tasks.BUCKET, tasks.KEY, pure=False).exception(timeout=60)
    served = [call for call in play.cloud.log("s3", "GetObject", since=since) if call["code"] == "ok"]
    play.account.require(outcome is not None and not served, f"read_object fails loudly: {type(outcome).__name__}")
    emptied = client.submit(tasks.hash_of, "DEMO_DATABASE_TOKEN", pure=False).result(timeout=30)
    overwritten = hashlib.sha256(WITHDRAWN.encode()).hexdigest()
    play.account.require(emptied == overwritten, "DEMO_DATABASE_TOKEN was overwritten in the living process")
    origins = ", ".join(f"{name} {slot['origin']}" for name, slot in status(play.socket)["slots"].items())
    play.account.fact(f"the origin of each slot at the end: {origins}")
