"""Sealing for 1, 100 and 10,000 machines; forwarding until 1, 50 and 500 live Dask workers have confirmed.

Each of the workers stands for a machine of its own, with a key of its own: what answers for its agent opens the
envelope as an agent does. They share a few processes, since 500 do not fit this machine; so do their event loops.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from credagent.bundle import hpke_suites
from credagent.bundle.contents import AwsSessionGrant, Bundle
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import new_bundle_id, seal_each
from credagent.forwarder.forward_credentials import forward_credentials
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity, compose
from credagent.sender.grant_options import GrantOptions

MACHINES = ((1, 200, 0.0), (100, 5, 0.0), (10_000, 1, 2.0))  # how many, how often, at most how many seconds
WORKERS = ((1, 0.0), (50, 0.0), (500, 5.0))
HOSTS = 4

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
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
'''


def main() -> None:
    """Print a row for each number, and the aims."""
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        key = SenderPrivateKey.generate()
        path = Path(folder) / "sender.key"
        path.touch(mode=0o600)
        path.write_text(key.to_text().reveal())
        for count, times, aim_s in MACHINES:
            _row(f"sealed for {count:,} machines", [_seal_s(count, key) for _ in range(times)], aim_s)
        _compare(MACHINES[-1][0], key)
        for count, aim_s in WORKERS:
            _row(f"confirmed by {count:,} workers", [_confirm_s(count, path)], aim_s)


def _row(name: str, values: list[float], aim_s: float) -> None:
    aim = f"   aim: {aim_s:.0f} s" if aim_s else ""
    print(f"{name:<28} {statistics.median(values) * 1000:9.1f} ms   (median of {len(values)}){aim}", flush=True)


def _compare(count: int, key: SenderPrivateKey) -> None:
    """Print what sealing costs beside the bare operations that it consists of (see ADR-01), as CPU time."""
    began = time.process_time()
    _bare(count, key)
    bare_s = time.process_time() - began
    bundle, recipients = _letter(), _recipients(count)
    began = time.process_time()
    for _ in seal_each(bundle, recipients, key):
        pass
    sealing_s = time.process_time() - began
    print(f"  CPU: {sealing_s:.2f} s; bare HPKE and Ed25519: {bare_s:.2f} s, {sealing_s / bare_s:.2f} times as much")


def _bare(count: int, key: SenderPrivateKey) -> None:
    """Encrypt `count` content keys and sign `count` messages, nothing else."""
    message, info = bytes(4300), bytes(90)
    encapsulators = [hpke_suites.encapsulator(public.kem, public.raw) for public in _recipients(100)]
    for number in range(count):
        hpke_suites.wrap(hpke_suites.Kem.X_WING, bytes(32), encapsulators[number % len(encapsulators)], info)
        key.sign(message)


def _recipients(count: int) -> list[RecipientPublicKey]:
    """Return `count` keys, a hundred different ones: making them is not what is measured."""
    public = [RecipientPrivateKey.generate().public_key for _ in range(min(count, 100))]
    return [public[number % len(public)] for number in range(count)]


def _letter() -> Bundle:
    """Return a bundle of the size that the format is meant for."""
    now = datetime.now(UTC)
    session = AwsSessionGrant(
        access_key_id="ASIAEXAMPLE",
        secret_access_key=Secret("s" * 40),
        session_token=Secret("t" * 1000),
        expires_at=now + timedelta(hours=12),
    )
    options = GrantOptions(audience="lab", variables={f"NAME_{number}": Secret("v" * 64) for number in range(20)})
    local = LocalIdentity(aws=session)
    return compose(options, local, now=now, sequence=int(now.timestamp() * 1e6), bundle_id=new_bundle_id())


def _seal_s(count: int, key: SenderPrivateKey) -> float:
    bundle, recipients = _letter(), _recipients(count)
    began = time.perf_counter()
    texts = list(seal_each(bundle, recipients, key))
    took_s = time.perf_counter() - began
    if len(texts[0]) >= 8 * 1024:
        raise SystemExit(f"an envelope of {len(texts[0])} bytes")
    return took_s


def _confirm_s(count: int, key: Path) -> float:
    with _cluster(count) as address:
        began = time.perf_counter()
        forwarding = forward_credentials(
            address, aws=None, environ={"X": "1"}, sender_key=key, trust="any", timeout=120, say=lambda _text: None
        )
        took_s = time.perf_counter() - began
        confirmed = sum(machine.state == "admitted" for machine in forwarding.status().machines)
        forwarding.stop()
    if confirmed != count:
        raise SystemExit(f"{confirmed} of {count} workers confirmed")
    return took_s


@contextlib.contextmanager
def _cluster(count: int) -> Iterator[str]:
    """A scheduler, and `count` workers in at most HOSTS processes."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        facts = Path(folder) / "scheduler.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        stack.enter_context(_running([*command, "--no-dashboard", "--scheduler-file", str(facts)], folder))
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
        yield address


def _address_in(facts: Path) -> str:
    import json

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


if __name__ == "__main__":
    main()
