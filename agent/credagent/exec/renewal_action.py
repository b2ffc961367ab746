"""What `exec` does to its program when credentials were renewed: nothing, a signal, or a restart. Parsing and ending.

Nothing is the usual choice: a Dask worker renews by itself. The others are for programs that read credentials once.
"""

import contextlib
import random
import signal
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from credagent.errors import UsageError

if TYPE_CHECKING:
    import psutil

GRACE_S = 30.0  # what systemd and Kubernetes give a service to end
SPREAD_S = 60.0  # over which a cluster's restarts are spread
END_ROUND_S = 0.01  # between two looks at what still lives
END_ROUNDS = 200  # 2 s; a process in uninterruptible sleep is not waited for


class SendSignal(Struct, frozen=True):
    """Send the program a signal."""

    number: int


class Restart(Struct, frozen=True):
    """End the program and its whole process tree, and start it again, after a chance delay up to `spread_s`."""

    grace_s: float = GRACE_S
    spread_s: float = SPREAD_S


OnRenewal = SendSignal | Restart | None


def parse_on_renewal(text: str, *, grace_s: float = GRACE_S, spread_s: float = SPREAD_S) -> OnRenewal:
    """Read `none`, `signal:SIG` (with or without "SIG", or a number) or `restart`. Raises UsageError."""
    what, _, argument = text.partition(":")
    if text == "none":
        return None
    if text == "restart":
        return Restart(grace_s=grace_s, spread_s=spread_s)
    if what == "signal":
        return SendSignal(_signal(argument))
    hint = "signal:HUP for a service that reads its environment file again, restart for one that must start anew"
    raise UsageError("on-renewal", "must be none, signal:SIG or restart", what=f"--on-renewal {text}", hint=hint)


def spread_delay_s(spread_s: float) -> float:
    """Draw when to restart, so that not all machines of a cluster restart at once."""
    return random.uniform(0, spread_s)  # noqa: S311  a spread, not a secret


def end_tree(spared: frozenset[int]) -> None:
    """Kill every descendant of this process but `spared` and theirs, and those that are forked meanwhile.

    None is collected here: the watch does that, and must see its program's end.
    """
    import psutil  # noqa: PLC0415  only where a tree is to end

    for _ in range(END_ROUNDS):
        doomed = [process for process in _descendants(psutil.Process(), spared) if _lives(process)]
        if not doomed:
            return
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(END_ROUND_S)


def _signal(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    if text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        hint = "a name or a number that `kill -l` lists: HUP, USR1, …"
        raise UsageError("unknown-signal", "there is no such signal", what=f"signal:{text}", hint=hint) from None


def _descendants(process: "psutil.Process", spared: frozenset[int]) -> list["psutil.Process"]:
    children = [child for child in process.children() if child.pid not in spared]
    return children + [descendant for child in children for descendant in _children(child)]


def _children(process: "psutil.Process") -> list["psutil.Process"]:
    import psutil  # noqa: PLC0415  as in end_tree

    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: "psutil.Process") -> bool:
    """Tell a process from one that ended and waits to be collected by the watch."""
    import psutil  # noqa: PLC0415  as in end_tree

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
