"""The columns of the matrix, each for all rows at once, and what is to be concluded from the cloud's log."""

from collections.abc import Callable, Mapping
from typing import Any

from distributed import Client

from tests.matrix import tasks
from tests.matrix.closed import (
    BARE,
    WITHDRAWN_BARE,
    WITHDRAWN_RUNNING,
    WITHDRAWN_STARTED,
    cell,
    started,
)
from tests.matrix.machine import Machine
from tests.matrix.results import SLIDES, Results, own_identities
from tests.patience import scaled

COLUMNS = (
    "first use",
    "living object, 3 renewals",
    "new object",
    "restarted worker",
    "agent away, living",
    "away, new",
)
LIVING_S = scaled(60.0)
AT_A_TIME = 4
AWAY_S = scaled(60.0)
WITHDRAWN_S = scaled(45.0)
SHORT_S, LONG_S = scaled(30), 3600  # what credentials live: three renewals pass while a living object is read
TASK_S = scaled(120.0)
RENEWALS = 3

YES, NO, AFTER_REFUSAL, SELDOM, FROZEN, HANGS = "yes", "NO", "after a refusal", "seldom", "frozen", "hangs"
REFUSED = (400, 401, 403)


class Columns:
    """Measures one machine whose slots are granted, then withdrawn, then granted again."""

    def __init__(self, machine: Machine, client: Client, workers: Mapping[str, str]) -> None:
        """Measure with one worker for each row."""
        self._machine, self._client, self._workers = machine, client, workers
        beside = (BARE, WITHDRAWN_BARE) if machine.setting.intercept else ()
        self.results = Results(workers, (*COLUMNS, WITHDRAWN_RUNNING, WITHDRAWN_STARTED, *beside))

    def measure(self, *, renewals: bool) -> None:
        """Fill all columns; without `renewals` those in which credentials are used once, or taken back."""
        first, living, new, restarted, away_living, away_new = COLUMNS
        self._once(first, tasks.first_use)
        if renewals:
            self._living(living)
            self._once(new, tasks.new_object)
            self._restart()
            self._once(restarted, tasks.first_use)
        self._bare(BARE)
        self._withdrawn()
        self._bare(WITHDRAWN_BARE)
        if renewals:
            self._away(away_living, away_new)

    def _on_all(self, task: Callable[..., Any], *arguments: object, rows: list[str] | None = None) -> dict[str, Any]:
        futures = {
            row: self._client.submit(task, row, *arguments, workers=[self._workers[row]], pure=False)
            for row in (rows or self._workers)
        }
        return {row: _result(future) for row, future in futures.items()}

    def _in_turns(self, task: Callable[[str], str]) -> dict[str, str]:
        """Let a few clients at a time load and begin: all at once they would outlive their credentials doing so."""
        rows = list(self._workers)
        found: dict[str, str] = {}
        for start in range(0, len(rows), AT_A_TIME):
            found |= self._on_all(task, rows=rows[start : start + AT_A_TIME])
        return found

    def _once(self, column: str, task: Callable[[str], str]) -> None:
        since = self._machine.cloud.last_seq()
        for row, said in self._in_turns(task).items():
            calls = self._machine.used(row, since)
            self._fill(row, column, YES if said == tasks.OK and calls else NO, said, calls)

    def _living(self, column: str) -> None:
        since = self._machine.cloud.last_seq()
        for row, outcomes in self._on_all(tasks.keep_reading, LIVING_S, 1.0).items():
            calls = self._machine.used(row, since)
            said = next((said for said in outcomes if said), "")
            identities = {call["credential"] for call in calls if call["status"] < REFUSED[0]}
            refused = any(call["status"] in REFUSED for call in calls)
            found = _living_cell(said, len(identities), refused=refused)
            self._fill(row, column, found, said or f"{len(identities)} identities", calls)

    def _restart(self) -> None:
        addresses = list(self._client.scheduler_info(n_workers=-1)["workers"])
        before = self._client.run(tasks.process)
        self._client.restart_workers(addresses, timeout=TASK_S)
        self._client.wait_for_workers(len(addresses), timeout=TASK_S)
        after = self._client.run(tasks.process)
        if set(before.values()) & set(after.values()):
            raise RuntimeError("a worker process was not restarted")

    def _withdrawn(self) -> None:
        """Take back what is in use, and read until what was held then has expired."""
        self._machine.withdraw()
        since = self._machine.cloud.last_seq()
        found = self._on_all(tasks.while_away, WITHDRAWN_S)
        for row, (outcomes, said_new) in ((row, _both(ended)) for row, ended in found.items()):
            calls = self._machine.used(row, since)
            said = "; ".join(filter(None, (outcomes[-1], said_new)))
            self._fill(row, WITHDRAWN_RUNNING, cell(said, calls), said, calls)
        started(self._machine, self.results, WITHDRAWN_STARTED, self._workers)

    def _bare(self, column: str) -> None:
        """Start programs that nobody supplies, which is what interception is for."""
        if self._machine.setting.intercept:
            started(self._machine, self.results, column, self._workers, lambda _, *words: self._machine.bare(*words))

    def _away(self, living: str, new: str) -> None:
        """Grant again, and take the agent away for a minute while fresh objects hold what has an hour to live."""
        self._machine.lifetime(LONG_S)
        self._machine.grant()
        self._in_turns(tasks.first_use)
        self._machine.stop_agent()
        since = self._machine.cloud.last_seq()
        found = self._on_all(tasks.while_away, AWAY_S)
        for row, (outcomes, said_new) in ((row, _both(ended)) for row, ended in found.items()):
            calls = self._machine.used(row, since)
            said = next((said for said in outcomes if said), "")
            self._fill(row, living, NO if said else YES, said, calls)
            self._fill(row, new, {"": YES, HANGS: HANGS}.get(said_new, NO), said_new, calls)
        self._machine.start_agent()

    def _fill(self, row: str, column: str, found: str, reason: str, calls: list[dict[str, Any]]) -> None:
        """Write a cell; a call with another identity than a forwarded one is what must never be seen.

        Without any identity some go on anonymously, which S3 refuses, loudly.
        """
        own = own_identities(calls)
        if own:
            self.results.fill(row, column, SLIDES, ", ".join(sorted(own)))
        else:
            self.results.fill(row, column, found, reason)


def _result(future: Any) -> Any:
    try:
        return future.result(timeout=TASK_S + LIVING_S)
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return f"{type(error).__name__}: {error}"[:300]


def _both(ended: Any) -> tuple[list[str], str]:
    return ended if isinstance(ended, tuple) else ([str(ended)], HANGS)


def _living_cell(said: str, identities: int, *, refused: bool) -> str:
    """Conclude: who asks again only when S3 has refused changes once in each life, not at each renewal."""
    if said:
        return NO
    if identities == 1:
        return FROZEN
    if refused:
        return AFTER_REFUSAL
    return YES if identities > RENEWALS else SELDOM
