"""What `exec` does to its program when credentials were renewed: nothing, a signal, or a restart.

Nothing is the usual choice: a Dask worker renews by itself. The others are for programs that read credentials once.
"""

from __future__ import annotations

import signal

from credagent.errors import UsageError
from credagent.exec.child_process import GRACE_S

TYPE_CHECKING = False

SPREAD_S = 60.0  # over which a cluster's restarts are spread


class SendSignal:
    """Send the program a signal."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        """Send `number`."""
        self.number = number


class Restart:
    """End the program and its whole process tree, and start it again, after a chance delay up to `spread_s`."""

    __slots__ = ("grace_s", "spread_s")

    def __init__(self, grace_s: float = GRACE_S, spread_s: float = SPREAD_S) -> None:
        """Give it `grace_s` to end."""
        self.grace_s, self.spread_s = grace_s, spread_s


if TYPE_CHECKING:
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
    import random  # noqa: PLC0415  milliseconds, and most programs are not restarted

    return random.uniform(0, spread_s)  # noqa: S311  a spread, not a secret


def _signal(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    if text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        hint = "a name or a number that `kill -l` lists: HUP, USR1, …"
        raise UsageError("unknown-signal", "there is no such signal", what=f"signal:{text}", hint=hint) from None
