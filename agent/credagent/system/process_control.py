"""What a process asks of the kernel for itself: prctl(2) and resource limits. Who has to ask is decided by programs.

`execve` undoes what keeps memory closed, so every program asks for itself, before a secret arrives. It does not help
against root, nor against swap.
"""

import ctypes
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
SIGKILL, SIGTERM = 9, 15  # the signal module takes milliseconds, of a start that workers wait for


def make_non_dumpable() -> bool:
    """Forbid core dumps, ptrace and reading /proc/PID/mem and environ; return whether the kernel agreed.

    Without prctl (macOS) only core dumps are forbidden, and the answer is False.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return forbid_dumping()


def forbid_dumping() -> bool:
    """Do the same without the limit on core dumps, which a program that is started would inherit. Linux only."""
    return _prctl(PR_SET_DUMPABLE, 0)


def die_with_parent() -> bool:
    """Have the kernel kill this process when the thread that started it ends. Linux only."""
    return _prctl(PR_SET_PDEATHSIG, SIGKILL)


def end_with_parent() -> bool:
    """Have the kernel send SIGTERM to this process when the thread that started it ends. Linux only."""
    return _prctl(PR_SET_PDEATHSIG, SIGTERM)


def adopt_orphans() -> bool:
    """Become the parent of descendants whose parent ended, as PID 1 is anyway. Linux only."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def bound_memory(limit_bytes: int) -> None:
    """Let this process have so much memory of its own and no more: an SDK reads an answer of any length.

    What the kernel counts here is what can be written (heap, buffers, stacks), and not libraries or reserved addresses.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > limit_bytes:  # a tighter limit that is there already stays
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _prctl(option: int, argument: int) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) == 0)
