"""A machine of a test's own with a real agent on it: folders, keys, one trusted sender, bundles that carry the canary.

Every agent speaks at debug level into the folder that is searched for the canary, and can reach no metadata service.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pytest

from credagent.bundle.contents import Bundle
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from tests.canary import DEBUG_LOG, log_file
from tests.demo.stage import clean_environment
from tests.ending import kill_tree
from tests.integration.letters import AUDIENCE
from tests.patience import scaled

T = TypeVar("T")

HAND_OVER = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&"$0" "$@"'  # sd_listen_fds(3)
SOON_S = scaled(30.0)  # for what takes milliseconds on a machine that does nothing else


class Machine:
    """One machine; its agent is started, asked and ended here."""

    def __init__(self, folder: Path) -> None:
        """Configure an agent that takes bundles from its inbox and its socket, and hands over no Google identity."""
        self.folder, self.run_dir, self.state_dir = folder, folder / "run", folder / "state"
        self.inbox, self.socket = self.run_dir / "inbox" / "bundle", self.run_dir / "agent.sock"
        self.worker_env, self.config = self.run_dir / "worker.env", folder / "config.toml"
        self.sender, self.recipient = SenderPrivateKey.generate(), RecipientPrivateKey.generate()
        self.key = folder / "recipient.key"
        write(self.key, self.recipient.to_text().reveal(), 0o600)
        self.environ: dict[str, str] = {**clean_environment(), **DEBUG_LOG}
        self.log = log_file("agent")
        self.program = [sys.executable, "-m", "credagent"]
        self.process: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._settings: dict[str, dict[str, object]] = {}
        self.configure(
            agent={"audience": AUDIENCE, "runtime_dir": str(self.run_dir), "state_dir": str(self.state_dir)},
            bundle={"recipient_keys": [f"file:{self.key}"], "trusted_senders": [self.sender.public_key.line]},
            google={"handover": "off"},
            endpoint={"listen": ["127.0.0.1:0"]},
        )

    def configure(self, **sections: Mapping[str, object]) -> None:
        """Change keys of the configuration; the others stay."""
        for section, values in sections.items():
            self._settings.setdefault(section, {}).update(values)
        lines = []
        for section, values in self._settings.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        write(self.config, "\n".join(lines) + "\n", 0o644)

    def sealed(self, letter: Bundle, *, sender: SenderPrivateKey | None = None) -> str:
        """Seal a letter to this machine."""
        return seal(letter, [self.recipient.public_key], sender or self.sender)

    def put(self, content: str | bytes) -> None:
        """Rename a file into the inbox; it is there whole or not at all."""
        for path in (self.run_dir, self.inbox.parent):
            path.mkdir(mode=0o700, exist_ok=True)
        arriving = self.inbox.with_name("arriving")
        arriving.write_bytes(content.encode() if isinstance(content, str) else content)
        arriving.rename(self.inbox)

    def start(self, **environ: str) -> "subprocess.Popen[bytes]":
        """Start the daemon and wait until every slot was tried."""
        process = self.launch("run", "--config", str(self.config), **environ)
        self.process = process

        def settled() -> bool:
            assert process.poll() is None, self.said()
            return bool(self.socket.exists() and self.ask("set").get("settled"))

        self.until(settled)
        return process

    def launch(self, *words: str, **environ: str) -> "subprocess.Popen[bytes]":
        """Start a command; what it says goes to the log."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self.program, *words],
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def start_on(self, port: socket.socket, **environ: str) -> "subprocess.Popen[bytes]":
        """Start the daemon as systemd does that hands it a socket, and wait for nothing."""
        words = [*self.program, "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", HAND_OVER, str(port.fileno()), *words],
                env={**self.environ, **environ},
                pass_fds=(port.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.adopt(process)
        return process

    def adopt(self, process: "subprocess.Popen[bytes]") -> None:
        """Take a daemon that a test has started for this machine's."""
        self.process = process
        self._started.append(process)

    def run(self, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, without its standard output in any log: some of it is meant to be secret."""
        done = subprocess.run(
            [*self.program, *words],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=scaled(60),
            check=False,
        )
        with self.log.open("a") as log:
            log.write(done.stderr)
        return done

    def once(self, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `run --once`."""
        return self.run("run", "--once", "--config", str(self.config), **environ)

    def stop(self) -> int:
        """End the daemon as a service manager does; return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the daemon as a crash does."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Have the daemon read its configuration again, and wait until it has."""
        said = self.events("configuration_reloaded", "reload_failed")
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: len(self.events("configuration_reloaded", "reload_failed")) > len(said))

    def reload_quietly(self) -> None:
        """Have the daemon read its configuration again, where it may be told not to say so."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        time.sleep(1)

    def ask(self, op: str, **fields: object) -> dict[str, Any]:
        """Ask the agent one thing; empty where none is there."""
        try:
            with self.connection() as agent:
                return agent.ask(op, **fields)
        except (ConnectionError, FileNotFoundError, EOFError):
            return {}

    @contextmanager
    def connection(self) -> Iterator["Connection"]:
        """Give a connection to the agent."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SOON_S)
            client.connect(str(self.socket))
            with client.makefile("rb") as answers:
                yield Connection(client, answers)

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        return self.ask("status")

    def value(self, name: str = "DB_TOKEN") -> str | None:
        """Return what a worker would get for one variable."""
        environment: dict[str, str] = self.ask("set").get("environment", {})
        return environment.get(name)

    def refusals(self) -> list[str]:
        """Return the codes of what was refused, the oldest first."""
        return [refused["code"] for refused in self.status()["bundle"]["refused"]]

    def said(self) -> str:
        """Return what the agent has said."""
        return self.log.read_text(errors="replace")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the log's events of these names."""
        lines = (json.loads(line) for line in self.said().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] in names]

    def until(self, truth: Callable[[], T], within_s: float = SOON_S) -> T:
        """Wait for `truth` and return it, or fail with what the agent said."""
        give_up = time.monotonic() + within_s
        while not (found := truth()):
            assert time.monotonic() < give_up, self.said()[-4000:]
            time.sleep(0.02)
        return found

    def stays(self, truth: Callable[[], object], for_s: float = 0.5) -> None:
        """See that something does not change for a while."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            assert truth(), self.said()[-4000:]
            time.sleep(0.05)

    def end(self) -> None:
        """End whatever still runs."""
        for process in self._started:
            kill_tree(process)
            process.wait()

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(SOON_S)


M = TypeVar("M", bound=Machine)


class Connection:
    """A conversation with the agent in lines of JSON."""

    def __init__(self, client: socket.socket, answers: BinaryIO) -> None:
        """Talk over a connected socket."""
        self._client, self._answers = client, answers

    def ask(self, op: str, **fields: object) -> dict[str, Any]:
        """Ask, and return the next line."""
        self.tell(op, **fields)
        return self.hear()

    def tell(self, op: str, **fields: object) -> None:
        """Say what has no answer."""
        self._client.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Wait for the next line. Raises EOFError at the end."""
        answer = self._answers.readline()
        if not answer:
            raise EOFError
        return dict(json.loads(answer))


def write(path: Path, content: str, mode: int) -> None:
    """Make or replace a file that has its mode before its content."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)


@contextmanager
def machines(kind: type[M]) -> Iterator[M]:
    """Give a machine below a folder whose name is short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="ca-a-"))
    machine = kind(folder)
    try:
        yield machine
    finally:
        machine.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Return a machine of the test's own."""
    with machines(Machine) as made:
        yield made


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """Return a listening socket on loopback, held by the test as a socket unit holds it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


def only_message(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the lines for people on stderr: what an error is made of, without log events."""
    return [line for line in done.stderr.splitlines() if not line.startswith("{")]
