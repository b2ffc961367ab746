"""A machine for measurements: folders, keys, a configuration, an agent, and what the kernel counts of its process."""

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Installed(Struct, frozen=True, kw_only=True):
    """What is measured: the command `credagent`, and the interpreter that runs it with nothing to run."""

    credagent: tuple[str, ...]
    bare: tuple[str, ...]


def in_environment(python: str) -> Installed:
    """Return what is installed in the environment of an interpreter."""
    path = os.path.abspath(python)
    return Installed(credagent=(str(Path(path).parent / "credagent"),), bare=(path, "-I", "-c", "pass"))


def in_tree(root: Path) -> Installed:
    """Return what `packaging/tree` has made, started as its launcher does. Bare is `-I`, as ADR-02 says."""
    python = str(root.resolve() / "usr/lib/credagent/bin/python3")
    return Installed(
        credagent=(python, "-IS", str(root.resolve() / "usr/bin/credagent")), bare=(python, "-I", "-c", "pass")
    )


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
def agent(
    installed: Installed, node: Node, environ: Mapping[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    """Run an agent; give the process and the milliseconds from before its start until it said READY."""
    notify = node.folder / "notify"
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notify))
        manager.settimeout(READY_S)
        given = {**clean_environment(), **(environ or {}), "NOTIFY_SOCKET": str(notify)}
        with (node.folder / "agent.log").open("ab") as log:
            command = [*installed.credagent, "run", "--config", str(node.config)]
            began = time.perf_counter()
            process = subprocess.Popen(command, env=given, stdout=log, stderr=log)
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            yield process, (time.perf_counter() - began) * 1000
        finally:
            process.terminate()
            process.wait()


def clean_environment() -> dict[str, str]:
    """Return an environment in which no cloud is asked."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**known, "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}


def ask(node: Node, op: str) -> dict[str, object]:
    """Ask the agent one thing; waits in its backlog where it is not serving yet."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(READY_S)
        client.connect(str(node.socket))
        client.sendall(json.dumps({"op": op}).encode() + b"\n")
        with client.makefile("rb") as answers:
            answer: dict[str, object] = json.loads(answers.readline())
    return answer


def endpoint_port(node: Node) -> int:
    """Return where the endpoint listens, as workers are told by worker.env."""
    lines = (node.folder / "run" / "worker.env").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    return int(
        told["AWS_CONTAINER_CREDENTIALS_FULL_URI"].strip('"').removeprefix("http://127.0.0.1:").partition("/")[0]
    )


def timed_ms(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Return how long a command takes that succeeds, in milliseconds."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    took_ms = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr.decode(errors='replace')[-300:]}")
    return took_ms


def cpu_ms(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Return the processor time that a command takes, in milliseconds."""
    _, _, used = os.wait4(os.posix_spawn(command[0], list(command), environ), 0)
    return (used.ru_utime + used.ru_stime) * 1000


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used: what its work costs, however busy the machine is."""
    return _of_threads(pid, "schedstat", lambda text: int(text.split(maxsplit=1)[0]) / 1e9)


def children_s(pid: int) -> float:
    """Return the processor time of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


def wake_ups(pid: int) -> float:
    """Return how often a process has waited: the voluntary context switches of all its threads."""
    return _of_threads(pid, "status", _voluntary)


def uss_mb(pid: int) -> float:
    """Return what would be free if the process ended, in MB of 10^6 bytes. Needs root: an agent is non-dumpable."""
    counted = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB", counted, re.MULTILINE)) * 1024 / 1e6


def _of_threads(pid: int, name: str, read: Callable[[str], float]) -> float:
    return sum(read((task / name).read_text()) for task in Path(f"/proc/{pid}/task").iterdir())


def _voluntary(text: str) -> float:
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("voluntary_ctxt"))
