"""The agent beside a program, where the machine has none: a process of its own that comes back when it crashes.

It is forked, not executed, so that a container waits for one interpreter only. What the agent does is its caller's.
"""

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from msgspec import Struct

from credagent import log
from credagent.errors import CredagentError, Exit
from credagent.handover.listening_sockets import ListeningSockets
from credagent.system import process_control
from credagent.system.file_lock import Lock

FIRST_PAUSE_S = 0.2  # before the first revival; doubles
LONGEST_PAUSE_S = 30.0
LOST_THE_RACE = 75  # EX_TEMPFAIL: this process ended since another agent holds the folder
HEALTHY_S = 60.0  # an agent that lived so long starts with the first pause again
LAST_WORDS_S = 3.0  # to end on SIGTERM: it has nothing to finish
STEP_S = 0.005

_NO_END = (0, 0)


class TakenOver(Struct, frozen=True, kw_only=True):
    """What an agent begins with: the lock on the runtime folder, and an earlier agent's sockets, if they are held."""

    lock: Lock | None = None
    sockets: ListeningSockets = ListeningSockets()


class EmbeddedAgent:
    """One agent process after another. The mutable part is which one, and how often it failed."""

    def __init__(self, live: Callable[[TakenOver], int]) -> None:
        """Start nothing yet. `live` runs an agent until it is told to end, and returns its exit status."""
        self._live = live
        self._pid: int | None = None
        self._began = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.due = 0.0  # the monotonic time before which it is not started again
        self.exit_code: int | None = None

    def collect(self) -> None:
        """Take note of its end, if it has ended; before the program starts nobody else does."""
        if self._pid is not None:
            self.ended(*os.waitpid(self._pid, os.WNOHANG))

    def ended(self, pid: int, status: int) -> bool:
        """Plan the revival if it was the agent that ended."""
        if pid == 0 or pid != self._pid:
            return False
        self.exit_code = os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        if now - self._began > HEALTHY_S or self.exit_code == LOST_THE_RACE:
            self._pause_s = FIRST_PAUSE_S
        self._pid, self.due = None, now + self._pause_s
        if self.exit_code == LOST_THE_RACE:
            log.info("agent_of_another_found")
        else:
            log.warning("agent_ended", status=self.exit_code, revived_in_s=self._pause_s)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return True

    def start(self, taken_over: TakenOver) -> None:
        """Start it (again)."""
        self._began, self.exit_code = time.monotonic(), None
        self._pid = os.fork() or _live_apart(lambda: self._live(taken_over))

    def pids(self) -> frozenset[int]:
        """Return the agent's process."""
        return frozenset() if self._pid is None else frozenset({self._pid})

    def stop(self) -> None:
        """End it, without a trace left running."""
        if self._pid is None:
            return
        os.kill(self._pid, signal.SIGTERM)
        give_up = time.monotonic() + LAST_WORDS_S
        while (ended := os.waitpid(self._pid, os.WNOHANG)) == _NO_END and time.monotonic() < give_up:
            time.sleep(STEP_S)
        if ended == _NO_END:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._pid = None


def _live_apart(live: Callable[[], int]) -> NoReturn:
    """Run in the forked process: out of reach of the terminal's keys and input, with signals as at a fresh start."""
    code: int = Exit.INTERNAL
    try:
        process_control.end_with_parent()
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        code = live()
    except CredagentError as error:
        if error.code == "already-running":
            os._exit(LOST_THE_RACE)
        code = error.exit_code
        _say(f"credagent: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
    except BaseException as error:  # noqa: BLE001  nothing above: the exit status and the trace are all that leaves
        _say(_trace(error))
    finally:
        os._exit(code)


def _trace(error: BaseException) -> str:
    """Return what kind of error came, and where; not what it says: a foreign exception's text may hold a secret."""
    frames = traceback.format_tb(error.__traceback__, limit=-8)
    return f"credagent: internal error: {type(error).__name__}\n{''.join(frames)}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
