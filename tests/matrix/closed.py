"""The columns of closed slots: what a client finds where it may have nothing and the machine's role is in reach."""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.matrix import tasks
from tests.matrix.machine import Machine
from tests.matrix.results import SLIDES, Results, own_identities
from tests.patience import scaled

WITHDRAWN_RUNNING, WITHDRAWN_STARTED = "withdrawn, running", "withdrawn, started"
NEVER, AWAY = "`never`, started", "agent away, started"

OPEN, ITS_VARIABLES = "not closed", "its variables alone"
BARE, WITHDRAWN_BARE = "without `exec`", "withdrawn, without `exec`"

NOTHING, ANONYMOUS, HANGS, READS = "nothing", "anonymous", "hangs", "reads"
CLOSED = (NOTHING, ANONYMOUS, HANGS)
UNKNOWN_KEY = "InvalidAccessKeyId"
READ_S = scaled(40.0)  # a client that is still trying after that has not slid either
AT_A_TIME = 4
READ = "import sys; from tests.matrix import tasks; sys.exit(tasks.first_use(sys.argv[1]) or 0)"


def started(
    machine: Machine, results: Results, column: str, rows: Iterable[str], start: Callable[..., list[str]] | None = None
) -> None:
    """Fill a column with what a program finds that a worker's user starts now, by `exec` unless told otherwise.

    `start(row, *command)` returns the words by which it is started.
    """

    def read(row: str) -> None:
        since = machine.cloud.last_seq()
        command = [sys.executable, "-W", "ignore", "-c", READ, row]
        words = start(row, *command) if start else machine.by_exec(*command)
        said = machine.run(*words, timeout_s=READ_S)
        results.fill(row, column, cell(said, machine.used(row, since)), said)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(read, rows))


def cell(said: str | None, calls: list[dict[str, Any]]) -> str:
    """Conclude from how a reading ended (None: it did not) and from the calls that came of it."""
    if own_identities(calls):
        return SLIDES
    if said == tasks.OK:
        return READS
    if said is None or said == tasks.HANGS:
        return HANGS
    # A key that was overwritten is signed with, and refused as unknown.
    unsigned = calls and all(call["credential"] is None and call["code"] != UNKNOWN_KEY for call in calls)
    return ANONYMOUS if unsigned else NOTHING
