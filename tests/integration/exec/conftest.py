"""A machine of its own for `exec`: folders, keys, one trusted sender, and bundles that carry the canary."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.canary import CANARY, DEBUG_LOG, log_file
from tests.ending import kill_tree
from tests.patience import scaled

PROGRAM = [sys.executable, "-m", "credagent"]


class Node:
    """Where an agent runs, and what it is configured with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, PROGRAM
        self.inbox = folder / "run" / "inbox" / "bundle"
        self.log = log_file("exec")
        self._started: list[subprocess.Popen[str]] = []
        self.environ: dict[str, str] = {**os.environ, **DEBUG_LOG}
        self._keys()
        self.environ |= {
            "CREDAGENT_AGENT_RUNTIME_DIR": str(folder / "run"),
            "CREDAGENT_AGENT_STATE_DIR": str(folder / "state"),
            "CREDAGENT_AGENT_AUDIENCE": "test",
            "CREDAGENT_BUNDLE_RECIPIENT_KEYS": f"file:{folder}/keys/recipient.key",
            "CREDAGENT_BUNDLE_TRUSTED_SENDERS": (folder / "keys" / "sender.pub").read_text().strip(),
            "CREDAGENT_ENDPOINT_LISTEN": "127.0.0.1:0",
        }

    def run(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of credagent to its end."""
        environ = {**self.environ, **more}
        return subprocess.run(
            [*self.program, *words], env=environ, text=True, capture_output=True, timeout=scaled(60), check=False
        )

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a command of credagent; its log goes to where the canary is searched."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*self.program, *words],
                env={**self.environ, **(environ or {})},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._started.append(process)
        return process

    def adopt(self, process: "subprocess.Popen[str]") -> None:
        """End a process that a test has started, too."""
        self._started.append(process)

    def deliver(self, value: str = CANARY) -> None:
        """Seal a bundle with the variable DB_TOKEN, and rename it into the inbox."""
        keys = self.folder / "keys"
        options = ["--recipient", str(keys / "recipient.pub"), "--sender-key", str(keys / "sender.key")]
        options += ["--audience", "test", "--aws", "none", "--env", "DB_TOKEN", "--out", str(self.folder / "sealed")]
        done = self.run("seal", *options, DB_TOKEN=value)
        assert done.returncode == 0, done.stderr
        (self.folder / "run").mkdir(mode=0o751, exist_ok=True)
        self.inbox.parent.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "sealed").rename(self.inbox)

    def status(self) -> dict[str, Any]:
        """Return the status document, empty where no agent answers."""
        said = self.run("status", "--json").stdout
        return dict(json.loads(said)) if said else {}

    def let_others_pass(self) -> None:
        """Open the test's own folder to other users, as /run and /var/lib are; what lies in it keeps its modes."""
        self.folder.chmod(0o755)

    def until(self, truth: Callable[[], object], within_s: float = 15) -> None:
        """Wait for `truth`, or fail with what the log says."""
        give_up = time.monotonic() + scaled(within_s)
        while not truth():
            assert time.monotonic() < give_up, self.log.read_text()[-4000:]
            time.sleep(0.02)

    def end(self) -> None:
        """End whatever still runs."""
        for process in self._started:
            kill_tree(process)
            process.communicate()

    def _keys(self) -> None:
        for role in ("recipient", "sender"):
            done = self.run("keygen", "--role", role, "--out", str(self.folder / "keys"))
            assert done.returncode == 0, done.stderr


def as_user(node: Node, uid: int) -> list[str]:
    """Return the words that start a command as a user without an account. Skips where he may not read the checkout."""
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    if subprocess.run([*words, *node.program, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the checkout or its interpreter is root's alone")
    return words


@pytest.fixture
def node() -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="ca-n-"))
    node = Node(folder)
    yield node
    node.end()
    shutil.rmtree(folder, ignore_errors=True)
