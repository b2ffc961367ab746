"""Keeps other processes of the same user, and core dumps, away from this one's memory. Called before a secret arrives.

`execve` undoes it, so every program calls it for itself. It does not help against root, nor against swap.
"""

import ctypes
import resource
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_DUMPABLE = 4
SIGKILL = 9  # the signal module takes milliseconds, of a start that workers wait for


def make_non_dumpable() -> bool:
    """Forbid core dumps, ptrace and reading /proc/PID/mem and environ; return whether the kernel agreed.

    Without prctl (macOS) only core dumps are forbidden, and the answer is False.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _prctl(PR_SET_DUMPABLE, 0)


def die_with_parent() -> bool:
    """Have the kernel kill this process when the thread that started it ends. Linux only."""
    return _prctl(PR_SET_PDEATHSIG, SIGKILL)


def bound_memory(limit_bytes: int) -> None:
    """Let this process have so much address space and no more: an SDK reads an answer of any length."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > limit_bytes:  # a tighter limit that is there already stays
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _prctl(option: int, argument: int) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) == 0)
