"""The life of forwarding: connect, install, go round, renew; when cut off, begin again, for ever.

Runs in one asyncio loop. What is known is in `rounds`, what can be given in `supply`; here is only when.
"""

import asyncio
import getpass
import os
import random
import socket

from msgspec.structs import replace

from credagent.clock import Clock
from credagent.credentials import Slot
from credagent.dask_cluster import agent_report
from credagent.dask_cluster.scheduler_client import FORWARDERS, SchedulerClient
from credagent.errors import CredagentError, Unavailable
from credagent.forwarder import key_trust, takeover, user_notices
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.event_listener import EventListener
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.identity_renewal import IdentityRenewal
from credagent.forwarder.machine_reconciler import MachineReconciler, failed, own_process
from credagent.forwarder.user_notices import UserNotices

RECONCILE_S = 30.0
LOOK_S = 5.0  # between two looks at the wall clock: a laptop that slept notices within this
ANNOUNCED_S = 0.05  # what all workers announce while this is installed arrives by another connection than "done"
RECONNECT_S, LONGEST_RECONNECT_S = 0.5, 15.0
EDITION_LIFE_S = 12 * 3600.0  # what has no expiry of its own is sent anew this often
DOUBT_S = 3.0  # between two rounds for the sake of what events claim
CONTEST_PACE_S, CONTESTED_S = 5.0, 60.0


class ForwarderLoop:
    """Forwards until it is cancelled, replaced or told to end."""

    def __init__(self, plan: ForwardingPlan, voice: UserNotices, clock: Clock) -> None:
        """Find out on what ground keys are believed; raises UsageError before anything is sent."""
        place = plan.whereabouts()
        ground = key_trust.ground(
            pinned=bool(plan.pinned), trust=plan.trust, scheme=place.scheme, context=place.context
        )
        key_trust.demand_pinned(plan.options, ground)
        self._plan, self._voice, self._clock = plan, voice, clock
        self.supply = IdentityRenewal(plan.options, plan.environ, clock)
        self._ground = ground
        self.rounds = MachineReconciler(plan, ground, voice, clock, own_process())
        self.name = f"credagent-forward-{socket.gethostname()}-{os.getpid()}-{os.urandom(6).hex()}"
        self.state = "starting"
        self.settled = asyncio.Event()
        self.ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._withdrawn: frozenset[Slot] = frozenset()
        self._rival: takeover.Announcement | None = None
        self._rival_at = 0.0

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
        key_trust.demand_still(self._ground, place.scheme)
        courier = SchedulerClient(place, self.name)
        try:
            async with courier.events() as events:
                await self._greet(courier)
                async with asyncio.TaskGroup() as group:
                    hearing = EventListener(self.rounds, self._clock, wake=self._wake, meet=self._met)
                    beside = [
                        group.create_task(hearing.listen(events)),
                        group.create_task(hearing.answer_mail(courier)),
                    ]
                    await self._work(courier, hearing)
                    for task in beside:
                        task.cancel()
        except BaseExceptionGroup as error:
            raise failed(error) from error
        finally:
            courier.close()

    async def _work(self, courier: SchedulerClient, hearing: EventListener) -> None:
        if self.ended.is_set() and self.state == "replaced":
            return
        await self.rounds.look_who_is_there(
            courier
        )  # what all workers announce while this is installed is heard of those it has
        await self._install(courier, mailbox=True)
        await asyncio.sleep(ANNOUNCED_S)
        if self.state == "reconnecting":
            self.supply.hurry()
            self._voice.say(
                "connection", "connected again; what you had on the cluster in futures is lost to Dask itself"
            )
        self.state = "forwarding"
        reconciled = asked = 0.0
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            due = now - reconciled >= self._pace_s() or not reconciled
            if due or (hearing.doubts and now - asked >= DOUBT_S):
                doubted = hearing.take_doubts()
                if await self.rounds.reconcile(courier, known=due and reconciled > 0, doubted=doubted):
                    await self._install(courier, mailbox=True)
                asked = self._clock.monotonic()
                reconciled = asked if due else reconciled
                if self._rival is not None and self.rounds.roster.follows(self._rival.key.key_id):
                    self._yield_to(self._rival)
                    break
            await self.rounds.deliver(courier, again=due)
            self.rounds.tell()
            self._settle()
            if self.ended.is_set():
                break
            await self._clock.wait(self._wake, DOUBT_S if hearing.doubts else self._pace_s())
        if self.state != "replaced":
            self.state = "withdrawn" if self._withdrawn else "stopped"
            await self._install(courier, mailbox=False)

    async def _install(self, courier: SchedulerClient, *, mailbox: bool) -> None:
        settings: dict[str, object] = {"sender": self._plan.key.key_id, "mailbox": mailbox}
        try:
            await courier.install_in_scheduler(settings)
        except Unavailable as error:
            if error.code != "scheduler-failed":
                raise
            self.rounds.roster.faults[agent_report.SCHEDULER] = agent_report.AgentReport(
                address=agent_report.SCHEDULER,
                host="the scheduler",
                fault="no-plugins",
                hint="it takes no plugins: not served",
            )
        try:
            await courier.install(settings)
        except Unavailable as error:
            if error.code not in ("silent", "scheduler-failed"):
                raise  # one worker that hangs keeps the scheduler from answering; all others have it nevertheless

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
        self.rounds.publish(
            BundleRevision(options, local, key=plan.key, pinned=plan.pinned, environ=plan.environ, now=now)
        )

    def _settle(self) -> None:
        if self.settled.is_set():
            return
        self.rounds.settle()
        for notice in self.rounds.edition.notices:
            self._voice.say(f"notice {notice}", notice)
        self._voice.say("served", user_notices.served(self.rounds.roster.machines.values(), self._what()))
        self.settled.set()

    def _what(self) -> list[str]:
        parts = []
        for slot, found in self.supply.found.items():
            parts.append(f"{slot.value} {found.principal or 'identity'}")
        if self._plan.options.variables:
            parts.append(f"variables {', '.join(sorted(self._plan.options.variables))}")
        return parts or ["nothing: every slot is declined"]

    async def _greet(self, courier: SchedulerClient) -> None:
        """See whether somebody else forwards to this cluster, and say that it is us now."""
        history = await courier.history(FORWARDERS)
        key = self._plan.key
        others = takeover.to_replace(history, key.public_key)
        if any(said.client == self.name for said in others):
            for message in history[-takeover.HISTORY :]:
                self._met(message)
            return
        for said in others[: takeover.REPLACED_AT_MOST]:
            if await self._is_there(courier, said.client):
                own = "which will stop" if said.key == key.public_key else "which stops where the machines trust you"
                self._voice.say("forwarder", f"takes over from the forwarder of {said.author}, {own}")
                break
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        await courier.announce(FORWARDERS, takeover.announce(key, self.name, who, [said.client for said in others]))

    async def _is_there(self, courier: SchedulerClient, client: str) -> bool:
        actions = [entry.get("action") for entry in await courier.history(client) if isinstance(entry, dict)]
        return "add-client" in actions and "remove-client" not in actions[actions.index("add-client") :]

    def _met(self, message: object) -> None:
        """Take in what somebody says who forwards to this cluster, or pretends to (see ADR-01)."""
        if self.ended.is_set():
            return
        word, said = takeover.judge(message, self.name, self._plan.key.public_key)
        if said is None:
            why = "that nobody has signed: ignored, forwarding goes on"
            self._voice.say("forged", f"another forwarder was announced to this cluster by a message {why}")
        elif word == "yield":
            self._yield_to(said)
        elif word == "rival" and said != self._rival:
            self._rival, self._rival_at = said, self._clock.monotonic()
            self._voice.say(
                "rival",
                f"{said.author} announced to forward to this cluster too: "
                "this forwarder goes on unless the machines follow that key",
            )
            self._wake.set()

    def _yield_to(self, said: takeover.Announcement) -> None:
        self.state = "replaced"
        self._voice.say("forwarder", f"{said.author} forwards to this cluster now: this forwarder stops")
        self.end()

    def _pace_s(self) -> float:
        """Return how often to ask around: more often while somebody else may be about to take the cluster over."""
        contested = self._rival is not None and self._clock.monotonic() - self._rival_at < CONTESTED_S
        return min(RECONCILE_S, CONTEST_PACE_S) if contested else RECONCILE_S
