"""The life of forwarding: connect, install, go round, renew; when cut off, begin again, for ever.

Runs in one asyncio loop. What is known is in `rounds`, what can be given in `supply`; here is only when.
"""

import asyncio
import getpass
import os
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from credagent.clock import Clock
from credagent.credentials import Slot
from credagent.errors import CredagentError, Unavailable
from credagent.sender.forwarding import reports, trust, wording
from credagent.sender.forwarding.courier import FORWARDERS, Courier
from credagent.sender.forwarding.editions import Edition
from credagent.sender.forwarding.plan import Plan
from credagent.sender.forwarding.resident import TOPIC
from credagent.sender.forwarding.rounds import Rounds, failed, own_process
from credagent.sender.forwarding.supply import Supply
from credagent.sender.forwarding.wording import Voice

RECONCILE_S = 30.0
LOOK_S = 5.0  # between two looks at the wall clock: a laptop that slept notices within this
ANNOUNCED_S = 0.05  # what all workers announce while this is installed arrives by another connection than "done"
RECONNECT_S, LONGEST_RECONNECT_S = 0.5, 15.0
EDITION_LIFE_S = 12 * 3600.0  # what has no expiry of its own is sent anew this often
MAIL_AT_ONCE = 10_000


class Engine:
    """Forwards until it is cancelled, replaced or told to end."""

    def __init__(self, plan: Plan, voice: Voice, clock: Clock) -> None:
        """Find out on what ground keys are believed; raises UsageError before anything is sent."""
        place = plan.whereabouts()
        ground = trust.ground(pinned=bool(plan.pinned), trust=plan.trust, scheme=place.scheme, context=place.context)
        trust.demand_pinned(plan.options, ground)
        self._plan, self._voice, self._clock = plan, voice, clock
        self.supply = Supply(plan.options, plan.environ, clock)
        self._ground = ground
        self.rounds = Rounds(plan, ground, voice, clock, own_process())
        self.name = f"credagent-forward-{socket.gethostname()}-{os.getpid()}-{os.urandom(6).hex()}"
        self.state = "starting"
        self.settled = asyncio.Event()
        self.ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._mail: asyncio.Queue[reports.Report] = asyncio.Queue(maxsize=MAIL_AT_ONCE)
        self._withdrawn: frozenset[Slot] = frozenset()

    async def run(self) -> None:
        """Forward. Raises what keeps it from beginning, and later what no second attempt can mend."""
        try:
            await self._forward()
        except BaseException as error:
            if self.settled.is_set():  # nobody waits for this any more: it has to be said
                why = error if isinstance(error, CredagentError) else type(error).__name__
                self._voice.say("end", f"forwarding ended: {why}")
            self.state = "failed"
            raise
        finally:
            self.settled.set()

    async def _forward(self) -> None:
        for notice in await self.supply.first():
            self._voice.say(f"notice {notice}", notice)
        self._publish()
        renewing = asyncio.create_task(self._renew())
        try:
            await self._keep_connected()
        finally:
            renewing.cancel()

    def end(self) -> None:
        """Let `run` return; what was delivered stays."""
        self.ended.set()
        self._wake.set()

    def withdraw(self) -> None:
        """Take back every slot that was granted; `run` returns when the machines that answer have confirmed."""
        self._withdrawn = frozenset(map(Slot, self.rounds.edition.granted)) | frozenset(self.supply.found)
        self._publish()
        self.end()

    async def _keep_connected(self) -> None:
        pause = RECONNECT_S
        while True:
            began = self._clock.monotonic()
            try:
                await self._connected()
            except Unavailable as error:
                if not self.settled.is_set():
                    raise  # never been there: a wrong address is not waited for
                if self.state != "reconnecting":  # once, not at every attempt
                    self._voice.say("connection", f"interrupted ({error}); trying again for as long as it takes")
                self.state = "reconnecting"
            if self.ended.is_set():
                return
            if self._clock.monotonic() - began > LONGEST_RECONNECT_S:
                pause = RECONNECT_S
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, hides nothing
            pause = min(pause * 2, LONGEST_RECONNECT_S)

    async def _connected(self) -> None:
        place = self._plan.whereabouts()
        trust.demand_still(self._ground, place.scheme)
        courier = Courier(place, self.name)
        try:
            async with courier.events() as events:
                await self._greet(courier)
                async with asyncio.TaskGroup() as group:
                    beside = [group.create_task(self._listen(events)), group.create_task(self._answer_mail(courier))]
                    await self._work(courier)
                    for task in beside:
                        task.cancel()
        except BaseExceptionGroup as error:
            raise failed(error) from error
        finally:
            courier.close()

    async def _work(self, courier: Courier) -> None:
        if self.ended.is_set() and self.state == "replaced":
            return
        await self._install(courier, mailbox=True)
        await asyncio.sleep(ANNOUNCED_S)
        if self.state == "reconnecting":
            self.supply.hurry()
            self._voice.say(
                "connection", "connected again; what you had on the cluster in futures is lost to Dask itself"
            )
        self.state = "forwarding"
        reconciled = 0.0
        while True:
            self._wake.clear()
            due = self._clock.monotonic() - reconciled >= RECONCILE_S or not reconciled
            if due:
                if await self.rounds.reconcile(courier, known=reconciled > 0):
                    await self._install(courier, mailbox=True)
                reconciled = self._clock.monotonic()
            await self.rounds.deliver(courier, again=due)
            self.rounds.tell()
            self._settle()
            if self.ended.is_set():
                break
            await self._clock.wait(self._wake, RECONCILE_S)
        if self.state != "replaced":
            self.state = "withdrawn" if self._withdrawn else "stopped"
            await self._install(courier, mailbox=False)

    async def _install(self, courier: Courier, *, mailbox: bool) -> None:
        settings: dict[str, object] = {"sender": self._plan.key.key_id, "mailbox": mailbox}
        try:
            await courier.install_in_scheduler(settings)
        except Unavailable as error:
            if error.code != "scheduler-failed":
                raise
            self.rounds.roster.faults[reports.SCHEDULER] = reports.Report(
                address=reports.SCHEDULER,
                host="the scheduler",
                fault="no-plugins",
                hint="it takes no plugins: not served",
            )
        try:
            await courier.install(settings)
        except Unavailable as error:
            if error.code not in ("silent", "scheduler-failed"):
                raise  # one worker that hangs keeps the scheduler from answering; all others have it nevertheless

    async def _listen(self, events: AsyncIterator[tuple[str, Any]]) -> None:
        async for topic, message in events:
            if topic == FORWARDERS:
                self._met(message)
                continue
            report = reports.parse(message) if topic == TOPIC else None
            if report is None:
                continue
            if report.nonce and report.outcome:
                self.rounds.took_mail(report)
            elif report.nonce:
                if not self._mail.full():  # a flood: each of them waits for its own time, and says so
                    self._mail.put_nowait(report)
            elif self.rounds.heard(report) is not None:
                self._wake.set()

    async def _answer_mail(self, courier: Courier) -> None:
        while True:
            await self.rounds.answer_mail(courier, await self._mail.get())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, max(0.2, self.supply.due_in_s(self._clock.now()))))
            if self.supply.due_in_s(self._clock.now()) == 0:
                for told in await self.supply.look():
                    self._voice.say("identity", told)
            now = self._clock.now()
            edition = self.rounds.edition
            aged = (now - edition.made_at).total_seconds() > EDITION_LIFE_S
            if not self._withdrawn and (aged or self.supply.local(now) != edition.local):
                self._publish()
                self._wake.set()

    def _publish(self) -> None:
        plan, now = self._plan, self._clock.now()
        options = replace(plan.options, withdrawn=self._withdrawn)
        local = self.supply.local(now)
        self.rounds.publish(Edition(options, local, key=plan.key, pinned=plan.pinned, environ=plan.environ, now=now))

    def _settle(self) -> None:
        if self.settled.is_set():
            return
        self.rounds.settle()
        for notice in self.rounds.edition.notices:
            self._voice.say(f"notice {notice}", notice)
        self._voice.say("served", wording.served(self.rounds.roster.machines.values(), self._what()))
        self.settled.set()

    def _what(self) -> list[str]:
        parts = []
        for slot, found in self.supply.found.items():
            parts.append(f"{slot.value} {found.principal or 'identity'}")
        if self._plan.options.variables:
            parts.append(f"variables {', '.join(sorted(self._plan.options.variables))}")
        return parts or ["nothing: every slot is declined"]

    async def _greet(self, courier: Courier) -> None:
        """See whether somebody else forwards to this cluster, and say that it is us now."""
        history = [entry for entry in await courier.history(FORWARDERS) if _client(entry)]
        names = [_client(entry) for entry in history]
        if self.name in names:
            if names[-1] != self.name:
                self._met(history[-1])
            return
        if history and await self._is_there(courier, names[-1]):
            self._voice.say("forwarder", f"takes over from the forwarder of {_who(history[-1])}, which will stop")
        me = {
            "client": self.name,
            "who": f"{getpass.getuser()}@{socket.gethostname()}",
            "sender": self._plan.key.key_id,
        }
        await courier.announce(FORWARDERS, dict(me))

    async def _is_there(self, courier: Courier, client: str) -> bool:
        actions = [entry.get("action") for entry in await courier.history(client) if isinstance(entry, dict)]
        return (
            bool(actions) and "remove-client" not in actions[actions.index("add-client") :]
            if "add-client" in actions
            else False
        )

    def _met(self, message: object) -> None:
        if not _client(message) or _client(message) == self.name or self.ended.is_set():
            return
        self.state = "replaced"
        self._voice.say("forwarder", f"{_who(message)} forwards to this cluster now: this forwarder stops")
        self.end()


def _client(message: object) -> str:
    found = message.get("client") if isinstance(message, dict) else None
    return found if isinstance(found, str) and found.startswith("credagent-forward-") else ""


def _who(message: object) -> str:
    if not isinstance(message, dict):
        return "somebody"
    parts = [str(message.get("who", "somebody"))[:80], f"sender {str(message.get('sender', 'unknown'))[:32]}"]
    return "".join(character for character in ", ".join(parts) if character.isprintable())
