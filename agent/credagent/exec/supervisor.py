"""Stays beside a started program: forwards signals, reaps orphans, renews as asked, ends as it ends. Safe as PID 1.

What it renews with, and the agent of the machine, come through two Protocols; no socket and no configuration here.

Job control (Ctrl-Z, `fg`) is done here, and not left to the kernel by keeping the program in this process group: the
terminal's keys would then reach both, and a SIGINT that somebody sends to this process alone could not be told from
one of the keyboard, so that it were either lost or delivered twice.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from credagent import log
from credagent.exec import child_process
from credagent.exec.child_process import Launch
from credagent.exec.renewal_action import Restart, SendSignal, spread_delay_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from credagent.exec.child_process import ChildProcess
    from credagent.exec.renewal_action import OnRenewal

    class Renewals(Protocol):
        """Where renewed environments come from."""

        def fileno(self) -> int:
            """Return what to poll, negative while there is no connection."""

        def read(self) -> Mapping[str, str] | None:
            """Return the whole new environment if one has come. Never blocks, never raises OSError."""

        def revive(self) -> float | None:
            """Reconnect if it is due; return the monotonic time at which to ask again, None while connected."""

    class Companion(Protocol):
        """The agent that supplies the program, where it runs for as long as some `exec` does."""

        def fileno(self) -> int:
            """Return what to poll: readable when the agent has ended. Negative where a child's end tells it."""

        def ended(self, pid: int, status: int) -> bool:
            """Take the end of process `pid`; False if it is not the agent's."""

        def revive(self) -> float | None:
            """See that one runs; return the monotonic time at which to ask again, None where an event will tell."""

        def pids(self) -> frozenset[int]:
            """Return the child process that must survive the program's restarts."""


NEVER_FORWARDED = frozenset(
    {
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        # Of our own defects: they end this process, as they should.
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGPIPE,
        signal.SIGXFSZ,
        # Of the terminal to whoever reads or writes it in the background: ignored, the program is in the foreground.
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)
FORWARDED = signal.valid_signals() - NEVER_FORWARDED

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
"""After one of them no restart follows: whoever sent it wants an end."""

PAUSE_LIMIT_S = 60.0  # the longest sleep, so that a suspended machine does not sleep through a due time


class Supervisor:
    """One program from its start to its end. The mutable part of `exec`."""

    def __init__(
        self,
        launch: Launch,
        *,
        on_renewal: OnRenewal,
        renewals: Renewals | None,
        companion: Companion | None,
        speak: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is started yet. `speak` is called at every turn, to write what was logged."""
        self._speak = speak
        self._launch = launch
        self._on_renewal = on_renewal
        self._renewals = renewals
        self._companion = companion
        self._child: ChildProcess | None = None
        self._ended_by: int | None = None  # the signal that asked for the end
        self._restart_at: float | None = None

    def run(self) -> int:
        """Start the program and return its exit status, 128 + signal where one killed it. Raises CannotStart."""
        foreground = child_process.in_foreground()
        with _signals() as wakeups:
            self._child = child_process.start(self._launch)
            try:
                return self._until_the_end(wakeups)
            finally:
                if foreground:  # else whoever started us would go on in the background
                    child_process.take_foreground(os.getpgrp())

    def _until_the_end(self, wakeups: int) -> int:
        while True:
            status = self._reap()
            if status is not None:
                return status
            due = self._act_on_time()
            self._speak()
            for ready in _wait((wakeups, *(one.fileno() for one in self._sources())), due):
                if ready == wakeups:
                    for number in os.read(wakeups, 256):
                        self._signalled(number)
                elif self._renewals is not None and ready == self._renewals.fileno():
                    self._renewed(self._renewals.read())

    def _sources(self) -> list[Renewals | Companion]:
        return [one for one in (self._companion, self._renewals) if one is not None]

    def _signalled(self, number: int) -> None:
        if number in NEVER_FORWARDED:
            return  # SIGCHLD, which has done its work by waking us
        if number in ENDING:
            self._ended_by, self._restart_at = number, None
        if number == signal.SIGCONT and self._child is not None and child_process.in_foreground():
            child_process.take_foreground(self._child.pid)  # a shell has brought us back (fg)
        if self._child is not None:
            self._child.send(number)

    def _reap(self) -> int | None:
        """Collect all who ended; return the exit status once the program is among them for good."""
        outcome = None
        for pid, status in _ended():
            ours = self._child is not None and pid == self._child.pid
            if os.WIFSTOPPED(status):
                if ours:
                    _stop_with(pid)
            elif ours:
                outcome = self._program_ended(os.waitstatus_to_exitcode(status))
            elif self._companion is not None:
                self._companion.ended(pid, status)
        return outcome

    def _program_ended(self, code: int) -> int | None:
        restarting = self._child is not None and self._child.told_to_end
        self._child = None
        if not restarting or self._ended_by is not None:
            return code if code >= 0 else 128 - code
        self._end_tree()  # what it left behind would hold ports and locks of its successor
        self._child = child_process.start(self._launch)
        log.info("program_restarted", pid=self._child.pid)
        return None

    def _act_on_time(self) -> float | None:
        """Do what is due; return the monotonic time of what comes next."""
        now, child = time.monotonic(), self._child
        if child is not None and self._restart_at is not None and now >= self._restart_at:
            self._restart_at = None
            if isinstance(self._on_renewal, Restart):
                child.end(kill_at=now + self._on_renewal.grace_s)
        if child is not None and child.kill_is_due(now):
            log.warning("program_killed", reason="did not end in its grace period")
            self._end_tree()
        times = [
            self._restart_at,
            child.due() if child is not None else None,
            *(one.revive() for one in self._sources()),
        ]
        return min((at for at in times if at is not None), default=None)

    def _end_tree(self) -> None:
        from credagent.exec.process_tree import end_tree  # noqa: PLC0415  psutil, only where a tree is to end

        end_tree(self._companion.pids() if self._companion is not None else frozenset())

    def _renewed(self, environment: Mapping[str, str] | None) -> None:
        if environment is None or environment == self._launch.environment:
            return
        before = self._launch
        self._launch = Launch(command=before.command, environment=environment, account=before.account)
        match self._on_renewal:
            case SendSignal(number=number):
                log.info("renewal_signalled", signal=signal.Signals(number).name)
                if self._child is not None:
                    self._child.send(number)
            case Restart() as restart:
                ending = self._child is not None and self._child.told_to_end
                if self._ended_by is None and self._restart_at is None and not ending:
                    delay_s = spread_delay_s(restart.spread_s)
                    self._restart_at = time.monotonic() + delay_s
                    log.info("restart_planned", in_s=round(delay_s, 1))


def _wait(descriptors: tuple[int, ...], due: float | None) -> list[int]:
    """Sleep until something happens, or is due; return the descriptors that have something to say."""
    polled = select.poll()
    for descriptor in descriptors:
        if descriptor >= 0:
            polled.register(descriptor, select.POLLIN)
    pause_s = PAUSE_LIMIT_S if due is None else min(max(due - time.monotonic(), 0), PAUSE_LIMIT_S)
    return [descriptor for descriptor, _ in polled.poll(pause_s * 1000 + 1)]


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Turn signals into bytes to read, from before the program starts, so that none is lost."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = {number: signal.getsignal(number) for number in FORWARDED | {signal.SIGCHLD}}
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number, disposition in before.items():
        if disposition is not signal.SIG_IGN or number == signal.SIGCHLD:
            signal.signal(number, _noted)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up byte has been written already."""


def _ended() -> Iterator[tuple[int, int]]:
    """Yield every child that ended or stopped, adopted orphans included."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _stop_with(child: int) -> None:
    """Stop as the program did (Ctrl-Z), so that the shell takes over; go on together."""
    if os.getpid() == 1 or os.getsid(0) == os.getpid():
        return  # nobody above does job control
    child_process.take_foreground(os.getpgrp())
    os.kill(os.getpid(), signal.SIGSTOP)
    if child_process.in_foreground():
        child_process.take_foreground(child)
    os.killpg(child, signal.SIGCONT)
