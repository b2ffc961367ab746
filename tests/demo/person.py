"""The person whose identity is forwarded: types `credagent seal`, puts the bundle on the machine, and does it again."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tests.demo.stage import credagent


class Person:
    """Somebody with a laptop: an AWS identity in the environment, a sender key, and the machine's public key."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, audience: str, inbox: Path) -> None:
        """Make a sender key."""
        self.folder, self.environ, self.audience, self.inbox = folder, dict(environ), audience, inbox
        self.recipient = ""
        credagent("keygen", "--role", "sender", "--out", str(folder), environ=self.environ)
        self._sealed = 0
        self._leave: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self.failures: list[str] = []

    @property
    def public_key(self) -> Path:
        """Where the sender's public key is."""
        return self.folder / "sender.pub"

    def seal(self, *options: str, command: str = "seal", **variables: str) -> Path:
        """Type `credagent seal`; return the sealed bundle. What it says to the person is in `said`."""
        self._sealed += 1
        out = self.folder / f"bundle-{self._sealed}"
        done = credagent(
            *command.split(),
            *("--recipient", self.recipient, "--sender-key", str(self.folder / "sender.key")),
            *("--audience", self.audience, "--out", str(out), *options),
            environ={**self.environ, **variables},
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        self.said = done.stderr
        return out

    def put(self, bundle: Path) -> None:
        """Rename a copy into the machine's inbox, whole or not at all."""
        arriving = self.inbox.with_name("arriving")
        arriving.write_bytes(bundle.read_bytes())
        arriving.rename(self.inbox)

    def stay(self, every_s: float) -> None:
        """Seal and put a new session every few seconds, until `leave`."""
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._renew, args=(every_s, self._leave), daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Stop renewing."""
        if self._leave is not None and self._thread is not None:
            self._leave.set()
            self._thread.join()

    def _renew(self, every_s: float, leave: threading.Event) -> None:
        while not leave.is_set():
            began = time.monotonic()
            try:
                self.put(self.seal())
            except (RuntimeError, OSError) as error:
                self.failures.append(str(error))
            leave.wait(max(0.0, every_s - (time.monotonic() - began)))


def bent(bundle: Path) -> Path:
    """Return a copy in which one character in the middle is another one."""
    text = bundle.read_text()
    middle = len(text) // 2
    other = "A" if text[middle] != "A" else "B"
    copy = bundle.with_name("tampered")
    copy.write_text(text[:middle] + other + text[middle + 1 :])
    os.chmod(copy, 0o600)
    return copy
