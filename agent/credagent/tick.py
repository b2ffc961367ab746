"""The moments at which the agent polls what sends no event, common to all that it polls. Pure.

Polled are folders that vanish without an event, a stepped clock, a disk that has room again, a bundle whose time has
come, and the service manager's watchdog. Each has a loop of its own that waits for the next of these moments, unless it
is due before. So an idle machine is woken once for all of them.
"""

TICK_S = 30.0  # half of the unit's WatchdogSec; also bounds how long a clock step or a suspension goes unnoticed


def until_tick(monotonic: float) -> float:
    """Return the seconds from `monotonic` to the next moment: a multiple of TICK_S on that clock."""
    return TICK_S - monotonic % TICK_S
