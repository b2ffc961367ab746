"""Answers workers that wait for a bundle before their first task. What they wait for is sealed, so that all may see it.

A worker that starts cannot be asked: its inbound calls wait until its start has ended. So it announces which key its
agent has and a mailbox, and looks into that. An announcement can be made by any task in anybody's name. It is therefore
answered, and remembered nowhere: what is in the mailbox can be opened by the holder of a key that was judged, and the
machine is taken for what it says when it is asked after its start.
"""

import asyncio
from typing import Any

from msgspec import Struct

from credagent.dask_cluster import agent_report, answer_limits
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.forwarder.key_trust import Distrusted, KeyJudge, TrustedRecipient
from credagent.forwarder.machine_reconciler import MachineReconciler
from credagent.task_groups import for_each

LIST_S = 0.2  # between two looks at which workers there are
MOST_WAITING = 4_096  # a worker that finds no room asks again two seconds later
LEARNT_AT_ONCE = 64  # verified by one helper together
MOST_KEYS = 8  # that are sealed to for one address and revision: each text is kept for as long as the revision is
REQUEST_BYTES = 12 * 1024  # a public key of 1.7 KB, an attestation of at most 4, and texts


class _Request(Struct):
    """What is read of every announcement; the rest only of those that are answered."""

    address: str
    nonce: str = ""


class WaitingWorkers:
    """The newest request of each address that has asked and was not answered yet."""

    def __init__(self, reconciler: MachineReconciler, judge: KeyJudge) -> None:
        """Answer with what `reconciler` seals for keys that `judge` trusts."""
        self._reconciler, self._judge = reconciler, judge
        self._requests: dict[str, bytes] = {}
        self._some = asyncio.Event()
        self._sealed: dict[str, set[TrustedRecipient]] = {}  # for each address, of the revision with this number:
        self._sealed_revision = 0

    def take(self, announcement: bytes) -> None:
        """Keep an announcement that names a mailbox."""
        if len(announcement) > REQUEST_BYTES:
            return
        found = answer_limits.plain(announcement, _Request, None)
        if found is None or not found.nonce:
            return
        self._requests.pop(found.address, None)
        self._requests[found.address] = announcement
        if len(self._requests) > MOST_WAITING:
            del self._requests[next(iter(self._requests))]
        self._some.set()

    async def answer_all(self, scheduler: SchedulerClient) -> None:
        """Answer those whom the scheduler lists, and forget the others, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            requests, self._requests = self._requests, {}
            try:
                listed = await scheduler.workers()
                asked = [answer_limits.plain(said, Any, None) for name, said in requests.items() if name in listed]
                reports = [report for report in map(agent_report.parse, asked) if report is not None]
                await for_each(reports, self._judge.learn, at_once=LEARNT_AT_ONCE)
                for report in reports:
                    answer = await self._answer(report)
                    if answer is not None:
                        await scheduler.mail(report.nonce, answer)
            except NoAnswer:
                pass  # who was not answered asks again
            await asyncio.sleep(LIST_S)

    async def _answer(self, report: AgentReport) -> dict[str, object] | None:
        """Return what the worker finds in its mailbox; None: nothing yet, it asks again."""
        verdict = self._judge.judge(report, asked=False)
        if report.fault:
            return {"why": report.fault}
        if isinstance(verdict, Distrusted):
            if verdict.passing:
                return None
            return {"why": f"{verdict.code}: {verdict.why}"}
        revision = self._reconciler.revision
        if not self._has_room(report.address, verdict, revision.number):
            return {"why": "too-many-keys: this address has named too many keys"}
        text = await self._reconciler.sealed(revision, verdict, afresh=report.outcome == "too-old")
        return {"bundle": await self._reconciler.for_machine(text, report), "slots": revision.granted}

    def _has_room(self, address: str, recipient: TrustedRecipient, revision: int) -> bool:
        """Tell whether to seal to `recipient` for `address`: anybody may announce a new key many times a second."""
        if revision != self._sealed_revision:
            self._sealed, self._sealed_revision = {}, revision
        named = self._sealed.setdefault(address, set())
        if recipient not in named and len(named) < MOST_KEYS:
            named.add(recipient)
        return recipient in named
