"""Hears one connection's events, and answers those who wait for mail. What is believed is in `announcements`.

Nothing that is only heard may cost more than one question to the scheduler in a while.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from credagent.clock import Clock
from credagent.dask_cluster import agent_report
from credagent.dask_cluster.dask_plugins import TOPIC
from credagent.dask_cluster.scheduler_client import FORWARDERS, SchedulerClient
from credagent.forwarder.announcement_filter import AnnouncementVerdict, MailRequest, Room
from credagent.forwarder.machine_reconciler import MachineReconciler

LIST_S = 0.2  # between two looks at who is there for the sake of mail; a worker that has just joined waits for it


class EventListener:
    """What was heard and is still to be followed up: `doubted` are to be asked, `unlisted` calls for a new list."""

    def __init__(
        self, rounds: MachineReconciler, clock: Clock, *, wake: asyncio.Event, meet: Callable[[object], None]
    ) -> None:
        """Hear for `rounds`; `wake` is set when there is work, `meet` gets what forwarders say."""
        self._rounds, self._clock, self._wake, self._meet = rounds, clock, wake, meet
        self._mail: asyncio.Queue[MailRequest] = asyncio.Queue()  # bounded by the room
        self._room = Room()
        self.doubted: set[str] = set()
        self.unlisted = False

    @property
    def doubts(self) -> bool:
        """Tell whether somebody has to be asked."""
        return self.unlisted or bool(self.doubted)

    def take_doubts(self) -> frozenset[str]:
        """Return whom to ask, and begin anew."""
        found = frozenset(self.doubted)
        self.doubted.clear()
        self.unlisted = False
        return found

    async def listen(self, events: AsyncIterator[tuple[str, Any]]) -> None:
        """Take in one event after another."""
        async for topic, message in events:
            if topic == FORWARDERS:
                self._meet(message)
                continue
            report = agent_report.parse(message) if topic == TOPIC else None
            if report is None:
                continue
            if report.nonce and report.outcome:
                self._rounds.took_mail(report)
            elif report.nonce:
                if self._room.enter(report.address):  # else a flood
                    self._mail.put_nowait(MailRequest(report=report, at=self._clock.monotonic()))
            else:
                self._announced(report)

    async def answer_mail(self, courier: SchedulerClient) -> None:
        """Answer one after another of those whom the scheduler lists."""
        announcements = self._rounds.announcements
        while True:
            letter = await self._mail.get()
            address = letter.report.address
            self._room.leave(address)
            if not announcements.lists(address) and announcements.listed_at < letter.at:
                await asyncio.sleep(announcements.listed_at + LIST_S - self._clock.monotonic())
                await self._rounds.look_who_is_there(courier)
            if announcements.lists(address):
                await self._rounds.answer_mail(courier, letter.report)

    def _announced(self, report: agent_report.AgentReport) -> None:
        belief, before = self._rounds.announced(report), self.doubts
        if belief is AnnouncementVerdict.DOUBT:
            self.doubted.add(report.address)
        elif belief is AnnouncementVerdict.UNLISTED:
            self.unlisted = True
        if belief is AnnouncementVerdict.NEWS or self.doubts != before:
            self._wake.set()
