"""Ends everything that a program has left running. Who has to end, and when, is decided by the supervisor."""

import contextlib
import time

import psutil

END_ROUND_S = 0.01  # between two looks at what still lives
END_ROUNDS = 200  # 2 s; a process in uninterruptible sleep is not waited for


def end_tree(spared: frozenset[int]) -> None:
    """Kill every descendant of this process but `spared` and theirs, and those that are forked meanwhile.

    None is collected here: the supervisor does that, and must see its program's end.
    """
    for _ in range(END_ROUNDS):
        doomed = [process for process in _descendants(psutil.Process(), spared) if _lives(process)]
        if not doomed:
            return
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(END_ROUND_S)


def _descendants(process: psutil.Process, spared: frozenset[int]) -> list[psutil.Process]:
    children = [child for child in process.children() if child.pid not in spared]
    return children + [descendant for child in children for descendant in _children(child)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    """Tell a process from one that ended and waits to be collected by the supervisor."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
