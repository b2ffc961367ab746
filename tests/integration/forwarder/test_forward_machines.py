"""Forwarding between machines that are network namespaces: renewed, cut off, back again; what the scheduler saw."""

import base64
import gzip
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from tests.integration.forwarder import network as spaces
from tests.integration.forwarder.stage import Machine, Stage, end, within
from tests.patience import scaled

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(not spaces.possible(), reason="needs root and network namespaces")

CANARY = "canary-kT5xw0-hunter2"
TESTS = Path(__file__).parents[2]
SESSION_S = 120
READ_WELL = ["hello", hashlib.sha256(CANARY.encode()).hexdigest()]
CUT_S = 45.0  # longer than the 30 s after which Dask's own client closes for good

# What a person's program does, as text that workers can run: the mission's own read, and a hash of the variable.
PERSON = """
import hashlib, json, sys
from distributed import Client
client = Client(sys.argv[1])
READ = "__import__('boto3').client('s3').get_object(Bucket='data', Key='hello.txt')['Body'].read().decode()"
HASH = "__import__('hashlib').sha256(__import__('os').environ.get('DB_TOKEN', '').encode()).hexdigest()"
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    try:
        if order["do"] == "wait":
            client.wait_for_workers(order["count"], timeout=60)
            answer = "done"
        elif order["do"] == "queue":
            queued = [client.submit(eval, text, resources={order["resource"]: 1}, pure=False) for text in (READ, HASH)]
            answer = "done"
        elif order["do"] == "queued":
            answer = [task.result(timeout=60) for task in queued]
        else:
            facts = client.scheduler_info(n_workers=-1)["workers"]
            where = [address for address, worker in facts.items() if worker["name"] == order["worker"]]
            tasks = [client.submit(eval, text, workers=where, pure=False) for text in (READ, HASH)] if where else []
            answer = [task.result(timeout=20) for task in tasks]
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
"""


class Person:
    """Somebody else's client in a namespace of its own: their connection may break, this test's must not."""

    def __init__(self, enter: tuple[str, ...], scheduler: str, environ: dict[str, str]) -> None:
        command = [*enter, sys.executable, "-c", PERSON, scheduler]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.wait(5)


@pytest.fixture
def network() -> Iterator[spaces.Network]:
    with spaces.Network("sched", "m1", "m2", "late", "user", "laptop") as found:
        yield found


@pytest.fixture
def cloud(network: spaces.Network, stage: Stage) -> Any:
    """The simulator on the hub, as everybody's cloud; its admin face is asked from inside the hub."""
    command = [*network.enter("hub"), sys.executable, "-m", "simulator", "--bind", network.hub]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=stage.environ | {"PYTHONPATH": str(TESTS)}, start_new_session=True
    )
    stage.processes.append(process)
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    return Cloud(network.enter("hub"), facts["addresses"]["admin"], facts["environ"])


class Cloud:
    def __init__(self, enter: tuple[str, ...], admin: str, environ: dict[str, str]) -> None:
        self._enter, self._admin = enter, admin
        names = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
        self.environ = {name: environ[name] for name in names}

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            program = (
                "import sys, urllib.request as u; request = u.Request(sys.argv[1], sys.stdin.buffer.read());"
                "print(u.urlopen(request, timeout=10).read().decode())"
            )
            done = subprocess.run(
                [*self._enter, sys.executable, "-c", program, f"{self._admin}/{name}"],
                input=json.dumps(arguments).encode(),
                capture_output=True,
                check=True,
                timeout=scaled(20),
            )
            return json.loads(done.stdout)["result"]

        return call

    def reads(self, since: int = 0) -> list[tuple[str, str]]:
        """Who read, and how that went."""
        return [
            (call["credential"], call["code"]) for call in self.log(service="s3", operation="GetObject", since=since)
        ]


@pytest.mark.timeout(420)
def test_a_cluster_of_separate_machines_is_kept_supplied_and_its_scheduler_learns_nothing(
    network: spaces.Network, stage: Stage, cloud: Cloud, key: SenderPrivateKey
) -> None:
    cloud.put_object(bucket="data", key="hello.txt", data="hello")
    cloud.expire_after(service="sts", seconds=SESSION_S)
    user = cloud.create_user(name="ada")
    stage.environ |= cloud.environ
    sched = stage.machine("sched", agent=False, enter=network.enter("sched"))
    machines = {
        name: stage.machine(name, key.public_key.line, enter=network.enter(name)) for name in ("m1", "m2", "late")
    }
    packets = stage.folder / "packets"
    with spaces.captured(network.enter("sched"), packets):
        stage.start_scheduler(sched, host=network.address("sched"), port=8786)
        scheduler = stage.processes[-1]
        workers = {name: stage.start_worker(machines[name], name) for name in ("m1", "m2")}
        person = Person(network.enter("user"), stage.scheduler, stage.environ)
        try:
            _story(Play(network, stage, cloud, person, machines, workers), user)
        finally:
            person.end()
        issued = [found for found in cloud.credentials() if found["kind"] == "session-token"]
        assert len(issued) >= 3
        everything = b"\0".join(spaces.streams(packets).values())
        assert key.public_key.key_id.encode() in everything  # the capture did see the conversation
        assert b"credagent-bundle:1:" in everything
        memory = b"\0".join(spaces.memory_of(scheduler.pid))
        assert b"credagent-forwarding" in memory  # it is the scheduler that was looked into
    secrets = [CANARY, *_values_in_memory_of_agents(machines)]
    assert spaces.betrayed(secrets, everything) == []
    assert spaces.betrayed(secrets, memory) == []
    logs = stage.logs()
    assert not any(secret in logs for secret in secrets)


DISGUISES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "backwards": lambda text: text[::-1],
    "hex": lambda text: text.hex().encode(),
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text)),
    "base64 in lines": base64.encodebytes,
    "base32": base64.b32encode,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "pickle": pickle.dumps,
    "msgpack": msgspec.msgpack.encode,
    "a Python literal": lambda text: repr(text.decode()).encode(),
    "JSON": lambda text: json.dumps({"x": text.decode()}).encode(),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "base64 in gzip": lambda text: gzip.compress(base64.b64encode(text)),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_the_search_finds_a_secret_in_disguise(disguise: str, before: str) -> None:
    letter = f'{before}{{"DB_TOKEN": "{CANARY}", "more": "{"m" * 90}"}}'.encode()
    data = os.urandom(100) + DISGUISES[disguise](letter) + os.urandom(100)
    assert spaces.betrayed([CANARY], data)
    assert not spaces.betrayed(["another-secret-of-the-same-kind"], data)


class Play(NamedTuple):
    network: spaces.Network
    stage: Stage
    cloud: Cloud
    person: Person
    machines: dict[str, Machine]
    workers: dict[str, "subprocess.Popen[bytes]"]

    def reads(self, worker: str) -> bool:
        return bool(self.person.ask(do="read", worker=worker) == READ_WELL)

    def identities(self) -> int:
        """How many credentials have been read with; reads once more."""
        time.sleep(1)
        self.reads("m1")
        return len({credential for credential, _ in self.cloud.reads()})


def _story(play: Play, user: dict[str, str]) -> None:
    play.person.ask(do="wait", count=2)
    forwarder = play.stage.start_forwarder(
        *("--trust", "any", "--env", "DB_TOKEN", "--sender-key", str(play.stage.folder / "sender.key")),
        enter=play.network.enter("laptop"),
        DB_TOKEN=CANARY,
        AWS_ACCESS_KEY_ID=user["access_key_id"],
        AWS_SECRET_ACCESS_KEY=user["secret_access_key"],
    )
    assert play.reads("m1")
    assert play.reads("m2")
    within(150, lambda: play.identities() > 1, "the first renewal")
    within(150, lambda: play.identities() > 2, "the second renewal")
    _join_late_and_lose_one(play)
    _cut_the_sender_off(play)
    # The sender is taken away: what was delivered stays until it expires.
    end(forwarder, signal.SIGKILL)
    assert play.reads("m2")
    assert [read for read in play.cloud.reads() if read[1] != "ok"] == []
    assert all(credential.startswith("session-token-") for credential, _ in play.cloud.reads())


def _join_late_and_lose_one(play: Play) -> None:
    play.person.ask(do="queue", resource="late")
    play.stage.start_worker(play.machines["late"], "late", "--resources", "late=1")
    assert play.person.ask(do="queued") == READ_WELL
    # One worker is killed; its nanny's next one starts with what the agent has.
    children = psutil.Process(play.workers["m2"].pid).children(recursive=True)
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    within(90, lambda: play.reads("m2"), "the worker that was killed")


def _cut_the_sender_off(play: Play) -> None:
    before = play.identities()
    play.network.cut("laptop")
    cut_at = time.monotonic()
    while time.monotonic() - cut_at < CUT_S:
        assert play.reads("m1")
        time.sleep(3)
    play.network.mend("laptop")
    log = next(play.stage.folder.glob("sender/forward-*.log"))
    within(90, lambda: "connected again" in log.read_text(), "the way back")
    within(120, lambda: play.identities() > before, "a renewal after it")


def _values_in_memory_of_agents(machines: dict[str, Machine]) -> list[str]:
    environment = machines["m1"].env_of_slot()
    return [environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
