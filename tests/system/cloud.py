"""The simulated cloud in a machine's network, instance metadata at its real address; and a sender outside of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.bundle.sealing import seal
from credagent.credentials import Statement
from credagent.sender import signing_key
from tests.canary import CANARY
from tests.integration.letters import letter
from tests.system.machine import Network

ROOT = Path(__file__).parents[2]
AUDIENCE = "system-test"

_ASK = "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode())).read().decode())"


class Cloud:
    """The simulator as a process in a network; what it is told goes through the network's door.

    `face` is whose instance metadata are at 169.254.169.254: `imds` (EC2) or `google-metadata`.
    """

    def __init__(self, network: Network, folder: Path, face: str = "imds") -> None:
        self._network, self._face = network, face
        self._state = folder / f"{network.name}.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._state.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.simulator", "--state-file", str(self._state), "--until-eof"]
        command += ["--listen", f"{self._face}=169.254.169.254:80"]
        inside = self._network.inside(*command)
        self._process = subprocess.Popen(inside, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + 20
        while not self._state.exists():
            assert time.monotonic() < give_up, "the simulated cloud did not start"
            time.sleep(0.05)
        ready = json.loads(self._state.read_text())
        self.addresses = ready["addresses"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate()

    def ask(self, name: str, /, **arguments: object) -> Any:
        """Call a function of the simulator."""
        command = self._network.inside(
            sys.executable, "-c", _ASK, f"{self.addresses['admin']}/{name}", json.dumps(arguments)
        )
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["result"]


class Sender:
    """Somebody's own computer: a signing key, and bundles with the variable DB_TOKEN."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
        self._credagent("keygen", "--role", "sender", "--out", str(folder / "keys"))
        self.public_key = (folder / "keys" / "sender.pub").read_text().strip()

    def recipient(self) -> tuple[str, Path]:
        """Make a recipient's key; return its public half and the file of its private one."""
        if not (self.folder / "keys" / "recipient.key").exists():
            self._credagent("keygen", "--role", "recipient", "--out", str(self.folder / "keys"))
        return (self.folder / "keys" / "recipient.pub").read_text().strip(), self.folder / "keys" / "recipient.key"

    def seal(self, recipient: str, value: str = CANARY) -> str:
        """Return a sealed bundle that grants `environment` and declines the rest."""
        options = ["--recipient", recipient, "--sender-key", str(self.folder / "keys" / "sender.key")]
        options += ["--audience", AUDIENCE, "--aws", "none", "--env", "DB_TOKEN"]
        return self._credagent("seal", *options, DB_TOKEN=value)

    def seal_session(self, recipient: str) -> str:
        """Return a sealed bundle that grants an AWS session of an hour."""
        granted = letter(aws=Statement.GRANTED, audience=AUDIENCE)
        key = signing_key.load(str(self.folder / "keys" / "sender.key"))
        return seal(granted, [RecipientPublicKey.parse(recipient)], key)

    def forward(self, network: Network, scheduler: str, value: str) -> None:
        """Forward to a running cluster by its Dask connection, from somebody else's computer on the same network."""
        words = ["forward", "--once", "--scheduler", scheduler, "--trust", "any", "--aws", "none", "--env", "DB_TOKEN"]
        words += ["--sender-key", str(self.folder / "keys" / "sender.key")]
        command = network.inside(sys.executable, "-m", "credagent", *words)
        environ = self._environ | {"DB_TOKEN": value}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def _credagent(self, *words: str, **more: str) -> str:
        command = [sys.executable, "-m", "credagent", *words]
        done = subprocess.run(command, env=self._environ | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
