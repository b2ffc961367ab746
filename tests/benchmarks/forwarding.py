"""From `forward_credentials` until 1 and 500 live Dask workers have confirmed: what a person waits for.

Each of the workers stands for a machine of its own, with a key of its own: what answers for its agent opens the
envelope as an agent does. They share a few processes, since 500 do not fit this machine; so do their event loops.
Starting them is not measured, and their heartbeats, a cost of Dask's that hundreds of machines share, are stopped.

Forwarders come one after another to the same cluster; all but the first ask what the one before has left. On a busy
machine the time is that of the queue for its processors, and the rows of processor time are the ones to read.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder.forward_credentials import forward_credentials
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, progress

WORKERS = {1: None, 500: Aim(5.0)}
HOSTS, ROUNDS = 4, 3

# What a worker does in the background is meant for a process of its own; by the hundred nothing else would be measured.
QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "60s",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "30s",
    "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "300s",
}

HOST = '''
import asyncio, sys
from distributed import Worker
from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.bundle.opening import open_envelope
from credagent.bundle.signature import verify_signature

class Machine:
    """The resident and the agent of one worker."""
    def __init__(self, worker):
        self.worker, self.key, self.bundle = worker, RecipientPrivateKey.generate(), None
        worker.handlers["plugin-add"] = self.plugin
        worker.handlers["credagent-report"], worker.handlers["credagent-deliver"] = self.report, self.deliver
    async def plugin(self, **message):
        self.worker.log_event("credagent", await self.report())
        return {"status": "OK"}
    async def report(self):
        bundle = self.bundle
        return {"credagent": 1, "address": self.worker.address, "host": self.worker.name, "audience": "lab",
                "public_key": self.key.public_key.line, "bundle_id": bundle.bundle_id if bundle else ""}
    async def deliver(self, bundle):
        parsed = envelope.parse(bundle)
        verify_signature(parsed)
        self.bundle = open_envelope(parsed, [self.key])
        return {**await self.report(), "outcome": "admitted"}

async def main(address, name, count):
    workers = [Worker(address, nthreads=1, name=f"{name}-{n}", memory_limit=0, dashboard=False) for n in range(count)]
    machines = [Machine(worker) for worker in workers]
    for begin in range(0, count, 25):
        await asyncio.gather(*workers[begin:begin + 25])
    for worker in workers:
        worker.periodic_callbacks["heartbeat"].stop()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
'''


class Cluster(Struct, frozen=True, kw_only=True):
    """A scheduler, and the processes of its workers."""

    address: str
    scheduler: int
    hosts: tuple[int, ...]


class Forwarded(Struct, frozen=True, kw_only=True):
    """Seconds until all had confirmed, and the processor seconds that it took of whom."""

    took_s: float
    cpu_s: Mapping[str, float]


def figures(_installed: node.Installed) -> Iterator[Figure]:
    """Forward to one worker, and to hundreds."""
    for count, aim in WORKERS.items():
        progress(f"forwarding: {count} workers start")
        with _cluster(count) as cluster:
            progress(f"forwarding: to {count} workers, {ROUNDS} times")
            taken = [_forward(cluster, count) for _ in range(ROUNDS)]
        who = f"{count} worker{'s' if count > 1 else ''}"
        waited = tuple(one.took_s for one in taken)
        yield Figure(name=f"forwarded, until {who} confirmed", unit="s", values=waited, aim=aim)
        for part in taken[0].cpu_s if count > 1 else ():
            used = tuple(one.cpu_s[part] for one in taken)
            yield Figure(name=f"processor for that, {part}", unit="s", values=used)


def _forward(cluster: Cluster, count: int) -> Forwarded:
    """Forward as whoever has not been here before."""
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        key = Path(folder) / "sender.key"
        key.touch(mode=0o600)
        key.write_text(SenderPrivateKey.generate().to_text().reveal())
        before, began = _used_s(cluster), time.perf_counter()
        forwarding = forward_credentials(
            cluster.address, aws=None, environ={"X": "1"}, sender_key=key, trust="any", timeout=120, say=_unsaid
        )
        took_s, after = time.perf_counter() - began, _used_s(cluster)
        confirmed = sum(machine.state == "admitted" for machine in forwarding.status().machines)
        forwarding.stop()
    if confirmed != count:
        raise SystemExit(f"{confirmed} of {count} workers confirmed")
    return Forwarded(took_s=took_s, cpu_s={part: after[part] - before[part] for part in before})


def _used_s(cluster: Cluster) -> dict[str, float]:
    hosts = sum(map(node.cpu_s, cluster.hosts))
    return {"forwarder": time.process_time(), "scheduler": node.cpu_s(cluster.scheduler), "workers": hosts}


def _unsaid(_text: str) -> None:
    """Say nothing."""


@contextlib.contextmanager
def _cluster(count: int) -> Iterator[Cluster]:
    """A scheduler, and `count` workers in at most HOSTS processes."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        facts = Path(folder) / "scheduler.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        command += ["--no-dashboard", "--scheduler-file", str(facts)]
        scheduler = stack.enter_context(_running(command, folder))
        address = _address_in(facts)
        shares = [count // HOSTS + (number < count % HOSTS) for number in range(HOSTS)]
        hosts = [
            stack.enter_context(_running([sys.executable, "-c", HOST, address, f"h{number}", str(share)], folder))
            for number, share in enumerate(shares)
            if share
        ]
        for host in hosts:
            if host.stdout is None or host.stdout.readline() != b"ready\n":
                raise SystemExit("the workers did not start")
        yield Cluster(address=address, scheduler=scheduler.pid, hosts=tuple(host.pid for host in hosts))


def _address_in(facts: Path) -> str:
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(facts.read_text())["address"])
        time.sleep(0.05)
    raise SystemExit("the scheduler did not start")


@contextlib.contextmanager
def _running(command: list[str], folder: str) -> "Iterator[subprocess.Popen[bytes]]":
    environ = os.environ | QUIET | {"CREDAGENT_SOCKET": f"{folder}/nobody.sock"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
