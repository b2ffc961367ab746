"""Tells the service manager how the daemon is: sd_notify(3), nothing else. No decision about readiness belongs here.

Each function is silent where no manager listens (a shell, a container without one).
"""

import os
import socket
from collections.abc import Mapping

from credagent import log

LONGEST_STATUS = 512  # characters; a status is one line in `systemctl status`


def ready(status: str, environ: Mapping[str, str] = os.environ) -> None:
    """Say that start-up, or a reload, is over, with one line for people."""
    _send(environ, "READY=1", _status(status))


def status(text: str, environ: Mapping[str, str] = os.environ) -> None:
    """Replace the line that `systemctl status` shows."""
    _send(environ, _status(text))


def reloading(monotonic_us: int, environ: Mapping[str, str] = os.environ) -> None:
    """Say that a reload began; `ready` ends it. The time lets the manager tell this reload from an earlier one."""
    _send(environ, "RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")


def stopping(environ: Mapping[str, str] = os.environ) -> None:
    """Say that the daemon is on its way out, by its own decision or by a signal."""
    _send(environ, "STOPPING=1")


def alive(environ: Mapping[str, str] = os.environ) -> None:
    """Feed the watchdog. Call it from the loop that matters, or it watches nothing."""
    _send(environ, "WATCHDOG=1")


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return how often to call `alive`, half of what the manager allows; None where nobody watches this process."""
    limit_us, watched_pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not limit_us.isdigit() or int(limit_us) == 0 or watched_pid not in ("", str(os.getpid())):
        return None
    return int(limit_us) / 2_000_000


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:LONGEST_STATUS]


def _send(environ: Mapping[str, str], *lines: str) -> None:
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket, as in some containers
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.settimeout(0)  # a manager that is stuck must not stop the loop that it watches
        try:
            manager.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("service_manager_unreachable", reason=error.strerror)
