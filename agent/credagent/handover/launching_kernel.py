"""Three requests to the kernel that a supervisor makes for itself: prctl(2), Linux only, nothing else."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def forbid_dumping() -> None:
    """Keep this process's memory from others of its user; the program it starts is dumpable again by execve."""
    _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ended, as PID 1 is anyway."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Get SIGTERM when the parent ends, however it ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, argument: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(argument), *(ctypes.c_ulong(0) for _ in range(3)))
