"""The agent that all `exec` of one user on a machine share: one of them runs it, the others stay ready to take over.

Who gets the lock on the runtime folder runs the agent; whoever loses that race attaches to it. An agent ends with the
`exec` that runs it, in order or by SIGKILL. The others see its process end by a pidfd, and each tries to become the
next one, in the same folder: state, token and generation number are on file there.

```
            somebody answers                     its process ended
  looking ───────────────────▶ attached to another's ─────────────▶ looking
     │ nobody answers                                                  ▲
     ▼                                 another was faster, or crash    │
  own agent, forked ───────────────────────────────────────────────────┘
```
"""

import os
import select
import socket
import struct
import time
from collections.abc import Sequence

from credagent import log
from credagent.errors import CredagentError, InternalError, Unavailable
from credagent.exec.agent_subscription import AgentSubscription
from credagent.exec.embedded_agent import LOST_THE_RACE, EmbeddedAgent
from credagent.system.file_reading import read_bounded
from credagent.worker.credagent_worker import refuse_stranger

OWNER_IS_EXEC = b"exec"
"""What the lock file of an agent says that ends with its `exec`; `run` writes another word."""

LOOK_S = 0.5  # at an agent whose process cannot be watched: it lives in another PID namespace
LONGEST_RACE_S = 10.0  # that somebody holds the folder's lock and answers nobody: a `run --once` takes less
_NOTE_BYTES = 64
_UCRED = struct.Struct("=iII")  # of SO_PEERCRED: pid, uid, gid


class SharedAgent:
    """The agent beside the program, ours or another's. The mutable part is which process it is."""

    def __init__(self, paths: Sequence[str], own_path: str, embedded: EmbeddedAgent) -> None:
        """Look at `paths` for an agent that runs; `embedded` would listen at `own_path`."""
        self._paths, self.path = paths, own_path
        self._embedded = embedded
        self._subscription: AgentSubscription | None = None
        self._pidfd = -1  # of another's agent
        self._look_at: float | None = None  # at another's agent that has no pidfd
        self._race_ends_at: float | None = None

    def attach(self) -> AgentSubscription | None:
        """Connect to an agent that runs, None where nobody answers."""
        for path in self._paths:
            self._subscription = AgentSubscription.try_connect(path)
            if self._subscription is not None:
                self.path = path
                break
        return self._subscription

    def ends_with_its_exec(self) -> bool:
        """Tell whether the agent that was attached to is one that somebody has to follow when its `exec` ends."""
        try:
            note = read_bounded(f"{os.path.dirname(self.path)}/lock", _NOTE_BYTES)
        except CredagentError:
            return False  # another user's: it is not ours to replace
        return note is not None and note.startswith(OWNER_IS_EXEC)

    def subscription(self) -> AgentSubscription | None:
        """Return the connection to the agent; where none runs, one is started. Raises where it cannot start."""
        if self._subscription is not None:
            self._subscription.revive()
        self._embedded.collect()
        if self._embedded.exit_code is not None:
            self._judge(self._embedded.exit_code)
        self.revive()
        if self._subscription is None:
            self._subscription = AgentSubscription.try_connect(self.path)
        return self._subscription

    def fileno(self) -> int:
        """Return what becomes readable when another's agent ends."""
        return self._pidfd

    def ended(self, pid: int, status: int) -> bool:
        """Take the end of a child process."""
        return self._embedded.ended(pid, status)

    def revive(self) -> float | None:
        """See that an agent runs: another's, or else our own. Returns the monotonic time at which to ask again."""
        now = time.monotonic()
        if self._embedded.pids() or self._watched(now):
            return self._look_at
        if self._watch_another():
            return self._look_at
        return self._embedded.revive()

    def pids(self) -> frozenset[int]:
        """Return our own agent's process."""
        return self._embedded.pids()

    def stop(self) -> None:
        """End our own agent; another's goes on."""
        self._forget_another()
        self._embedded.stop()

    def _judge(self, code: int) -> None:
        """Raise where our own agent ended before there was a set to start with, and starting it again will not help."""
        if code == LOST_THE_RACE and self._subscription is None:
            now = time.monotonic()
            self._race_ends_at = self._race_ends_at or now + LONGEST_RACE_S
            if now < self._race_ends_at:
                return
            hint = "another `credagent` of this user hangs while it holds it: end that one"
            raise Unavailable("already-running", "it is locked, and nobody answers there", what=self.path, hint=hint)
        if code > 0 and code != LOST_THE_RACE:
            raise SystemExit(code)  # it has said why
        if code < 0 and self._subscription is None:
            raise InternalError("agent-ended", f"killed by signal {-code} before it was ready", what="the agent")

    def _watched(self, now: float) -> bool:
        """Tell whether another's agent is watched and has not ended."""
        if self._pidfd >= 0 and select.select([self._pidfd], [], [], 0)[0]:
            log.info("agent_of_another_ended")
            self._forget_another()
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
        return self._pidfd >= 0 or self._look_at is not None

    def _watch_another(self) -> bool:
        """Begin to watch the agent that answers, if one does."""
        pid = _listener(self.path)
        if pid is None:
            return False
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._look_at = time.monotonic() + LOOK_S
        return True

    def _forget_another(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd, self._look_at = -1, None


def _listener(path: str) -> int | None:
    """Return the process that listens at `path` (0: of another PID namespace), None where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(LOOK_S)
        try:
            probe.connect(path)
            refuse_stranger(probe, path)
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return None
    return int(_UCRED.unpack(peer)[0])
