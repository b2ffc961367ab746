"""Starts a program with credentials in its environment, as itself or as another user; signals it and ends it.

Exit statuses follow the shell's: 127 for a program that is not there, 126 for one that cannot be started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys

from credagent.errors import CredagentError, Exit, PermissionRefused, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

GRACE_S = 30.0  # from SIGTERM to SIGKILL: what systemd and Kubernetes give a service to end
KILL_AGAIN_S = 60.0  # a process in uninterruptible sleep did not end by the first SIGKILL
LONGEST_FAILURE_BYTES = 16  # an errno in decimal

CHANGED_BY_US = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU, signal.SIGTTIN)
"""Python ignores the first two for itself; a program that inherited that would not die of a closed pipe.

What whoever started us has ignored (nohup) stays ignored.
"""


class CannotStart(CredagentError):
    """The program is not there (127) or cannot be started (126)."""

    def __init__(self, program: str, number: int) -> None:
        """Translate the errno that execve left."""
        found = number not in (errno.ENOENT, errno.ENOTDIR)
        super().__init__(
            "not-executable" if found else "not-found",
            os.strerror(number),
            what=program,
            hint="check the command after --, and PATH",
        )
        self.exit_code = Exit.NOT_EXECUTABLE if found else Exit.NOT_FOUND


class Account:
    """A user to become, with all of its groups."""

    __slots__ = ("gid", "groups", "home", "name", "uid")

    def __init__(self, *, uid: int, gid: int, groups: tuple[int, ...], name: str, home: str) -> None:
        """Name a user."""
        self.uid, self.gid, self.groups, self.name, self.home = uid, gid, groups, name, home


class Launch:
    """What to start. `environment` is the whole of it and holds secrets in clear."""

    __slots__ = ("account", "command", "environment")

    def __init__(
        self, *, command: tuple[str, ...], environment: Mapping[str, str], account: Account | None = None
    ) -> None:
        """Start `command`, as `account` where it is another."""
        self.command, self.environment, self.account = command, environment, account

    def __repr__(self) -> str:
        """Name the program only: arguments and variables may be secret."""
        return f"Launch({self.command[0]!r})"


class ChildProcess:
    """The program while it runs. What changes is whether it was told to end, and when it is killed if it does not."""

    def __init__(self, pid: int) -> None:
        """Take over a program that was started."""
        self.pid = pid
        self._kill_at: float | None = None

    @property
    def told_to_end(self) -> bool:
        """Whether `end` was called."""
        return self._kill_at is not None

    def send(self, number: int) -> None:
        """Send it a signal; one that has ended meanwhile gets none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, *, kill_at: float) -> None:
        """Tell it to end. At `kill_at` (monotonic) its grace is over."""
        self._kill_at = kill_at
        self.send(signal.SIGTERM)

    def kill_is_due(self, now: float) -> bool:
        """Tell whether its grace is over. Asked again, the answer is no for `KILL_AGAIN_S`."""
        if self._kill_at is None or now < self._kill_at:
            return False
        self._kill_at = now + KILL_AGAIN_S
        return True

    def due(self) -> float | None:
        """Return the monotonic time at which to ask `kill_is_due`, None where it was not told to end."""
        return self._kill_at


def account_named(user: str, *, effective_uid: int) -> Account | None:
    """Return the account to drop to, None where the process is it already. Raises PermissionRefused, UsageError."""
    import pwd  # noqa: PLC0415  only where somebody else is to be

    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        hint = "name one that this machine or image has (getent passwd)"
        raise UsageError("unknown-user", "there is no such user", what=f"--user {user}", hint=hint) from None
    if found.pw_uid == effective_uid:
        return None
    if effective_uid != 0:
        hint = "run it as root, or as that user and without --user"
        raise PermissionRefused("not-root", "only root may become another user", what=f"--user {user}", hint=hint)
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return Account(uid=found.pw_uid, gid=found.pw_gid, groups=groups, name=found.pw_name, home=found.pw_dir)


def start(launch: Launch) -> ChildProcess:
    """Start the program in a process group of its own, in the foreground where this process is.

    A group of its own gets the terminal's signals once, and not again through its supervisor. Raises CannotStart.
    """
    outcome, failure = os.pipe()  # closed by execve, so that silence means success
    foreground = in_foreground()
    pid = os.fork()
    if pid == 0:
        _become(launch, failure, foreground=foreground)
    os.close(failure)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)  # both sides do it: whichever is first, nobody can ask in between
    number = os.read(outcome, LONGEST_FAILURE_BYTES)
    os.close(outcome)
    if number:
        os.waitpid(pid, 0)
        raise CannotStart(launch.command[0], int(number))
    return ChildProcess(pid)


def replace(launch: Launch) -> NoReturn:
    """Become the program, with this pid, this terminal and these signals. Raises CannotStart."""
    try:
        _execute(launch)
    except OSError as error:
        raise CannotStart(launch.command[0], error.errno or errno.EIO) from error


def in_foreground() -> bool:
    """Tell whether the terminal's keys reach this process group."""
    with _terminal() as terminal:
        return terminal is not None and os.tcgetpgrp(terminal) == os.getpgrp()


def take_foreground(group: int) -> None:
    """Give the terminal, if there is one, to `group`. The caller ignores SIGTTOU, or it would be stopped for asking."""
    with _terminal() as terminal, contextlib.suppress(OSError):  # the group may have ended
        if terminal is not None:
            os.tcsetpgrp(terminal, group)


@contextlib.contextmanager
def _terminal() -> Iterator[int | None]:
    """Open the controlling terminal, whatever standard input is: a pager reads its keys beside a pipe."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield terminal
    finally:
        os.close(terminal)


def _become(launch: Launch, failure: int, *, foreground: bool) -> NoReturn:
    """Run in the child, between fork and execve: whatever goes wrong is an errno for the parent."""
    try:
        os.setpgid(0, 0)
        if foreground:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            take_foreground(os.getpid())
        _execute(launch)
    except OSError as error:
        os.write(failure, str(error.errno or errno.EIO).encode())
    finally:
        os._exit(Exit.NOT_EXECUTABLE)


def _execute(launch: Launch) -> NoReturn:
    """Set the dispositions that a program expects from its parent, drop rights, execute."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in CHANGED_BY_US or callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if launch.account is not None:
        _drop_to(launch.account)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = dict(launch.environment) | (_home(launch.account) if launch.account else {})
    os.execvpe(launch.command[0], list(launch.command), environment)  # noqa: S606  the very purpose


def _home(account: Account) -> dict[str, str]:
    return {"HOME": account.home, "USER": account.name, "LOGNAME": account.name}


def _drop_to(account: Account) -> None:
    """Become `account` for good: groups first, since only root may set them, and the uid last."""
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
