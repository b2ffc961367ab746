"""The agent that all `exec` of one user on a machine share: one of them runs it, the others stay ready to take over.

Who gets the lock on the runtime folder runs the agent; whoever loses that race stands by. An agent ends with the
`exec` that runs it, in order or by SIGKILL. The others see their connection to it end, and whoever gets the lock
becomes the next one, in the same folder and with the same listening sockets: state, token and generation number are on
file there, and clients that ask meanwhile wait in the kernel's queue.

```
            somebody answers, and                its connection
            sends its sockets                    ended
  looking ───────────────────▶ standing by ─────────────────────▶ looking
     │ the lock is free          ▲                                   ▲
     ▼                           │ as behind anybody's               │ crashed
  own agent, forked ─────────────┴───────────────────────────────────┘
```
"""

import os
import time

from credagent import log
from credagent.errors import CredagentError, InternalError, Unavailable
from credagent.exec.agent_subscription import AgentSubscription
from credagent.exec.embedded_agent import LOST_THE_RACE, EmbeddedAgent, TakenOver
from credagent.exec.stand_by import StandBy
from credagent.handover.listening_sockets import ListeningSockets
from credagent.handover.unix.agent_place import OWNER_IS_EXEC, lock_path
from credagent.system import file_lock

LOOK_S = 0.05  # at the lock, while whoever has it does not answer: it is about to start, or to end
LONGEST_RACE_S = 10.0  # that somebody holds the folder's lock and answers nobody: a `run --once` takes less


class SharedAgent:
    """The agent beside the program, ours or another's. The mutable part is which one it is, as far as that is known."""

    def __init__(self, own_path: str, embedded: EmbeddedAgent, found: AgentSubscription | None = None) -> None:
        """Stand behind `found`, the agent of another `exec`, where there is one; `embedded` would be at `own_path`."""
        self.path = own_path if found is None else found.path
        self._embedded, self._subscription = embedded, found
        self._stand_by: StandBy | None = None
        self._sockets = ListeningSockets()  # of the last agent that answered
        self._unproven: ListeningSockets | None = None  # with which our own agent was started that did not answer yet
        self._race_ends_at: float | None = None

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
        if self._subscription is None and self._race_ends_at is not None and time.monotonic() > self._race_ends_at:
            hint = "another `credagent` of this user hangs while it holds it: end that one"
            raise Unavailable("already-running", "it is locked, and nobody answers there", what=self.path, hint=hint)
        return self._subscription

    def fileno(self) -> int:
        """Return what becomes readable when the agent answers, or ends."""
        return -1 if self._stand_by is None else self._stand_by.fileno()

    def ended(self, pid: int, status: int) -> bool:
        """Take the end of a child process.

        Where it was our agent, and it did not get as far as to answer, clients are refused from now on rather than
        kept waiting for a start that may never succeed.
        """
        ours = self._embedded.ended(pid, status)
        if ours and self._unproven is self._sockets:
            self._replace_sockets(ListeningSockets())
        return ours

    def revive(self) -> float | None:
        """See that an agent runs: another's, or else our own. Returns the monotonic time at which to ask again."""
        self._look()
        if self._stand_by is not None and self._stand_by.sockets is not None:
            return None  # its end will tell
        if self._embedded.pids():
            return self._stand_behind()
        if time.monotonic() < self._embedded.due:
            return self._embedded.due
        try:
            lock = file_lock.lock(self._lock_path, note=OWNER_IS_EXEC)
        except CredagentError:
            lock = None  # there is no folder yet: the agent makes it, and says what is wrong
        else:
            if lock is None:
                self._race_ends_at = self._race_ends_at or time.monotonic() + LONGEST_RACE_S
                return self._stand_behind()
        self._leave()  # or the agent would hold the other end of a connection to itself
        self._race_ends_at, self._unproven = None, self._sockets
        self._embedded.start(TakenOver(lock=lock, sockets=self._sockets))
        if lock is not None:
            lock.release()  # the child process has it
        return time.monotonic() + LOOK_S

    def pids(self) -> frozenset[int]:
        """Return our own agent's process."""
        return self._embedded.pids()

    def stop(self) -> None:
        """End our own agent; another's goes on."""
        self._leave()
        self._sockets.close_all_but()
        self._embedded.stop()

    def _judge(self, code: int) -> None:
        """Raise where our own agent ended before there was a set to start with, and starting it again will not help."""
        if code > 0 and code != LOST_THE_RACE:
            raise SystemExit(code)  # it has said why
        if code < 0 and self._subscription is None:
            raise InternalError("agent-ended", f"killed by signal {-code} before it was ready", what="the agent")

    @property
    def _lock_path(self) -> str:
        return lock_path(os.path.dirname(self.path))

    def _look(self) -> None:
        """Take note of what the agent has sent, and of its end."""
        if self._stand_by is None:
            return
        self._stand_by.look()
        if (sockets := self._stand_by.sockets) is not None and sockets is not self._sockets:
            self._replace_sockets(sockets)
            self._race_ends_at = None
        if self._stand_by.agent_ended:
            if self._stand_by.sockets is not None and not self._embedded.pids():
                log.info("agent_of_another_ended")
            self._leave()

    def _replace_sockets(self, sockets: ListeningSockets) -> None:
        self._sockets.close_all_but()
        self._sockets = sockets

    def _stand_behind(self) -> float:
        """Ask whoever listens for the sockets, once; return when to look again."""
        if self._stand_by is None:
            self._stand_by = StandBy.behind(self.path)
        return time.monotonic() + LOOK_S

    def _leave(self) -> None:
        if self._stand_by is not None:
            self._stand_by.close()
            self._stand_by = None
