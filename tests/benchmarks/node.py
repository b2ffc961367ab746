"""A machine for measurements: folders, keys, a configuration, an agent process, and when it said that it was ready."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from credagent.bundle.contents import AwsSessionGrant, Bundle, EnvironmentGrant
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import new_bundle_id, seal
from credagent.credentials import Slot, Statement
from credagent.secret import Secret

AUDIENCE = "bench"
READY_S = 30.0


class Node(Struct, frozen=True, kw_only=True):
    """The files of one machine."""

    folder: Path
    config: Path
    sender: SenderPrivateKey
    recipient: RecipientPrivateKey

    @property
    def inbox(self) -> Path:
        """Where bundles are put."""
        return self.folder / "run" / "inbox" / "bundle"

    @property
    def socket(self) -> Path:
        """Where the agent listens."""
        return self.folder / "run" / "agent.sock"


def python() -> str:
    """Return the interpreter to measure cold starts with."""
    return os.environ.get("BENCH_PYTHON", sys.executable)


def make(folder: Path, extra: str = '[google]\nhandover = "off"\n') -> Node:
    """Make a machine with a key, a trusted sender and the configuration that `extra` completes."""
    sender, recipient = SenderPrivateKey.generate(), RecipientPrivateKey.generate()
    (folder / "run" / "inbox").mkdir(parents=True)
    for path in (folder / "run", folder / "run" / "inbox"):
        path.chmod(0o700)
    key = folder / "recipient.key"
    key.touch(mode=0o600)
    key.write_text(recipient.to_text().reveal())
    config = folder / "config.toml"
    config.write_text(
        f'[agent]\naudience = "{AUDIENCE}"\nruntime_dir = "{folder}/run"\nstate_dir = "{folder}/state"\n'
        f'[bundle]\nrecipient_keys = ["file:{key}"]\ntrusted_senders = ["{sender.public_key.line}"]\n{extra}'
    )
    config.chmod(0o644)
    return Node(folder=folder, config=config, sender=sender, recipient=recipient)


def session(number: int = 1) -> AwsSessionGrant:
    """Return a session as STS would give it: a token of 1,000 characters, good for an hour."""
    return AwsSessionGrant(
        access_key_id=f"ASIA{number:016d}",
        secret_access_key=Secret("s" * 40),
        session_token=Secret("t" * 1000),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        region="eu-central-1",
    )


def bundle(*, aws: bool = True, variables: Mapping[str, str] | None = None) -> Bundle:
    """Return a bundle that grants `aws` and `environment`, made now."""
    now = datetime.now(UTC)
    values = {f"VARIABLE_{n}": "v" * 64 for n in range(20)} if variables is None else variables
    session_ = (session(),) if aws else ()
    return Bundle(
        bundle_id=new_bundle_id(),
        sequence=int(now.timestamp() * 1e6),
        audience=AUDIENCE,
        issued_at=now,
        not_after=now + timedelta(days=30),
        slots={
            Slot.AWS: Statement.GRANTED if aws else Statement.DECLINED,
            Slot.GOOGLE: Statement.DECLINED,
            Slot.ENVIRONMENT: Statement.GRANTED,
        },
        grants=(*session_, EnvironmentGrant(variables={name: Secret(value) for name, value in values.items()})),
    )


def put(node: Node, letter: Bundle) -> float:
    """Seal `letter` to the machine and rename it into the inbox; return the wall clock right before the renaming."""
    arriving = node.inbox.with_name("arriving")
    arriving.write_text(seal(letter, [node.recipient.public_key], node.sender))
    renamed_at = time.time()
    arriving.rename(node.inbox)
    return renamed_at


@contextmanager
def agent(node: Node, environ: Mapping[str, str] | None = None) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    """Run an agent; give the process and the milliseconds from before its start until it said READY."""
    notify = node.folder / "notify"
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notify))
        manager.settimeout(READY_S)
        command = [str(Path(python()).parent / "credagent"), "run", "--config", str(node.config)]
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = {**known, "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true", **(environ or {})}
        with (node.folder / "agent.log").open("ab") as log:
            began = time.perf_counter()
            process = subprocess.Popen(command, env={**given, "NOTIFY_SOCKET": str(notify)}, stdout=log, stderr=log)
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            yield process, (time.perf_counter() - began) * 1000
        finally:
            process.terminate()
            process.wait()


def ask(node: Node, op: str) -> dict[str, object]:
    """Ask the agent one thing; waits in its backlog where it is not serving yet."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(READY_S)
        client.connect(str(node.socket))
        client.sendall(json.dumps({"op": op}).encode() + b"\n")
        with client.makefile("rb") as answers:
            answer: dict[str, object] = json.loads(answers.readline())
    return answer


def bare_ms() -> float:
    """Return how long a bare interpreter of the same kind takes, in milliseconds."""
    began = time.perf_counter()
    subprocess.run([python(), "-I", "-c", "pass"], check=True)
    return (time.perf_counter() - began) * 1000
