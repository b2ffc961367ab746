"""How many connections fit into this process's limit of open files. An accept that fails for want of one stops all."""

import contextlib
import resource

MOST = 1_024  # connections of one server
WANTED_FILES = 4_096  # two sockets and the loopback ports, all full
RESERVED_FILES = 128  # for channels, files and helper processes, whatever callers do


def make_room() -> None:
    """Raise the soft limit as far as is wanted and allowed: systemd's default is less than one server may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        with contextlib.suppress(OSError, ValueError):  # a sandbox forbids it: then there is room for less
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


def most_connections() -> int:
    """Return how many one of two servers may have open, so that both together leave what is reserved."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, (soft - RESERVED_FILES) // 2))
