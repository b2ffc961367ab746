"""What only the kernel knows of processes: this one's memory, and whether a subscriber is still the one that connected.

A file of /proc each, which hundreds of workers make milliseconds: called in a thread, beside the loop.
"""

import os
import time
from datetime import UTC, datetime

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STAT_BYTES = 4_096
START_TIME = 19  # its place behind the name, in /proc/PID/stat: proc_pid_stat(5), field 22


def memory_bytes() -> tuple[int | None, int | None]:
    """Return this process's resident and private bytes, None where the kernel does not count them."""
    try:
        with open("/proc/self/smaps_rollup", "rb") as file:
            fields = [line.split() for line in file.read(STAT_BYTES).splitlines()]
    except OSError:
        return None, None
    kilobytes = {name: int(rest[0]) for name, *rest in fields if name.endswith(b":")}
    private = sum(size for name, size in kilobytes.items() if name.startswith(b"Private_"))
    return kilobytes[b"Rss:"] * 1024, private * 1024


def is_gone(pid: int, since: datetime) -> bool:
    """Tell whether the process that was known as `pid` at `since` has ended; its number may be another's by now.

    A child that inherited its connection keeps that open. False where the kernel does not say.
    """
    if pid == 0:
        return False  # of another PID namespace: the kernel has no number for it here
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # a buffer costs as much again as the file
            fields = file.read(STAT_BYTES).rpartition(b")")[2].split(maxsplit=START_TIME + 1)
            started = int(fields[START_TIME])
    except (FileNotFoundError, ProcessLookupError):
        return not _exists(pid)  # with ProtectProc=invisible, other users' processes are only hidden
    except OSError:
        return False
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started / TICKS_PER_S
    return age_s < (datetime.now(UTC) - since).total_seconds()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
