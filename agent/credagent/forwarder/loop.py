"""The life of forwarding: connect, ask, deliver, wait; when the connection is lost begin again, for ever.

Two loops over one value: `_keep_renewed` makes the next revision of the identity, `_keep_connected` brings every
machine to the revision in force. Events of the cluster only wake the second one. Runs in one asyncio event loop.
"""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator
from itertools import islice

from credagent.attestation.policy import AttestPolicy
from credagent.bundle.fingerprint import fingerprint
from credagent.clock import Clock
from credagent.credentials import Slot
from credagent.dask_cluster import credentials_page
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.errors import CredagentError, Unavailable
from credagent.forwarder import competing_forwarders, key_trust
from credagent.forwarder.attested_machines import NO_CLOUD, TOO_OLD_AGENT, AttestedMachines
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.competing_forwarders import Forwarder
from credagent.forwarder.forwarded_accounts import policy_of
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.identity_renewal import IdentityRenewal
from credagent.forwarder.key_trust import KeyJudge, TrustBasis
from credagent.forwarder.machine_reconciler import MachineReconciler
from credagent.forwarder.sender_attestation import SenderAttestation
from credagent.forwarder.user_notices import UserNotices
from credagent.forwarder.waiting_workers import WaitingWorkers
from credagent.sender.compose_bundle import LocalIdentity
from credagent.task_groups import run_until_first_ends

RECONCILE_S = 30.0
WOKEN_S = 2.0  # between two rounds of questions, however many events there are
LOOK_S = 5.0  # between two looks at the wall clock: a laptop that slept notices within this
STAND_BY_S = 5.0  # between two looks whether the forwarder at work is still connected
RECONNECT_S, LONGEST_RECONNECT_S = 0.5, 15.0
MOST_GROUNDS = 2048  # that the scheduler is told, of some 250 bytes each
REVISION_LIFE_S = 12 * 3600.0  # what has no expiry of its own is sent anew this often
_PROCESS = os.urandom(6).hex()  # beside the pid, which another container's process may have too
CLIENT_CLOSED = "your client is closed; forwarding goes on, until you call .stop() on it or this process ends"


class ForwarderLoop:
    """Forwards until it is cancelled, replaced or told to end."""

    def __init__(self, plan: ForwardingPlan, notices: UserNotices, clock: Clock) -> None:
        """Find out on what basis keys are believed; raises UsageError before anything is sent."""
        place = plan.whereabouts()
        basis = key_trust.trust_basis(
            pinned=bool(plan.pinned),
            trust=plan.trust,
            scheme=place.scheme,
            context=place.context,
            attestable=plan.options.wants_local_aws or plan.options.wants_local_google,
            attest_said=not plan.attest.is_empty,
        )
        self._attested_by_name = plan.trust is not None or not plan.attest.is_empty
        key_trust.demand_pinned(plan.options, basis, attested_by_name=self._attested_by_name)
        self._plan, self._notices, self._clock, self._basis = plan, notices, clock, basis
        # Which proof machines are asked for: an instance's identity role says nothing of the role that it has.
        self._attests_by = ("role" if plan.attest.aws_roles else "instance") if basis is TrustBasis.ATTESTED else ""
        self.renewal = IdentityRenewal(plan.options, plan.environ, clock)
        attested = AttestedMachines(self._policy, plan.environ, clock)
        self._judge = KeyJudge(basis, plan.pinned, plan.options.audience, attested)
        revision = BundleRevision(0, LocalIdentity(), plan, clock.now())
        own = SenderAttestation(plan.options, plan.environ, clock)
        self.reconciler = MachineReconciler(revision, self._judge, notices, clock, own)
        name = f"credagent-forward-{socket.gethostname()}-{os.getpid()}-{_PROCESS}-{os.urandom(6).hex()}"
        self.own = Forwarder(name=name, sender=plan.key.key_id)
        self.state = "starting"
        self.settled = asyncio.Event()
        self.has_begun = False  # every machine that was there has answered
        self.ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._stirred = False  # something was announced, and nobody was asked since
        self._installed = False
        self._grounds_shown: dict[str, str] = {}
        self._withdrawn: frozenset[Slot] = frozenset()

    @property
    def revision(self) -> BundleRevision:
        """Return the revision in force."""
        return self.reconciler.revision

    async def run(self) -> None:
        """Forward. Raises what keeps it from beginning, and later what no second attempt can mend."""
        try:
            await self._forward()
        except BaseException as error:
            if self.settled.is_set():  # nobody waits for this any more: it has to be said
                why = error if isinstance(error, CredagentError) else type(error).__name__
                self._notices.say("end", f"forwarding ended: {why}")
            self.state = "failed"
            raise
        finally:
            self.settled.set()

    def end(self) -> None:
        """Let `run` return; what was delivered stays."""
        self.ended.set()
        self._wake.set()

    def withdraw(self) -> None:
        """Take back every slot that was granted; `run` returns when the machines that answer have confirmed."""
        self._withdrawn |= frozenset(map(Slot, self.revision.granted)) | frozenset(self.renewal.found)
        self._revise(self.revision.identity)
        self.end()

    async def _forward(self) -> None:
        first = await self.renewal.first()
        for notice in first.notices:
            self._notices.say(f"notice {notice}", notice)
        if self.ended.is_set():  # nothing was granted yet, so there is nothing to take back either
            self.state = "stopped"
            return
        if self._basis is TrustBasis.ATTESTED and not self._attested_by_name and self._policy().is_empty:
            raise key_trust.no_trust("nothing says whose machines are yours: no account or project is forwarded")
        self._revise(first.identity or LocalIdentity())
        await run_until_first_ends(self._keep_connected(), self._keep_renewed())

    async def _keep_renewed(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, max(0.2, self.renewal.due_in_s(self._clock.now()))))
            if self._plan.is_client_closed():
                self._notices.say("client", CLIENT_CLOSED)
            renewed = await self.renewal.renew()
            for notice in renewed.notices:
                self._notices.say("identity", notice)
            aged = (self._clock.now() - self.revision.made_at).total_seconds() > REVISION_LIFE_S
            if not self._withdrawn and (renewed.identity is not None or aged):
                self._revise(renewed.identity or self.revision.identity)

    def _revise(self, identity: LocalIdentity) -> None:
        """Put the next revision in force: from now on every machine is behind."""
        number = self.revision.number + 1
        now, withdrawn = self._clock.now(), self._withdrawn
        self.reconciler.revise(BundleRevision(number, identity, self._plan, now, withdrawn))
        self._wake.set()

    async def _keep_connected(self) -> None:
        pause, told = RECONNECT_S, frozenset[str]()
        while True:
            began = self._clock.monotonic()
            try:
                await self._connected()
            except Unavailable as error:
                if not self.settled.is_set():
                    raise  # never been there: a wrong address is not waited for
                told = self._say_interrupted(error, told)
                self.state = "reconnecting"
            if self.ended.is_set():
                return
            if self._clock.monotonic() - began > LONGEST_RECONNECT_S:
                pause = RECONNECT_S
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, hides nothing
            pause = min(pause * 2, LONGEST_RECONNECT_S)

    def _say_interrupted(self, error: Unavailable, told: frozenset[str]) -> frozenset[str]:
        """Say what keeps it from being connected, each kind of reason once; return the codes that were said.

        The first, that the connection ended, calls for nothing yet.
        """
        if self.state != "reconnecting":
            told = frozenset()
        if error.code not in told:
            remedy = f". {error.hint}" if told and error.hint else ""
            self._notices.say("connection", f"interrupted ({error}); trying again for as long as it takes{remedy}")
        return told | {error.code}

    async def _connected(self) -> None:
        place = self._plan.whereabouts()
        key_trust.demand_still(self._basis, place.scheme)
        scheduler = SchedulerClient(place, self.own.name)
        waiting = WaitingWorkers(self.reconciler, self._judge)
        try:
            async with scheduler.events() as events:
                await run_until_first_ends(
                    self._work(scheduler), self._listen(events, waiting), waiting.answer_all(scheduler)
                )
        finally:
            scheduler.close()

    async def _listen(self, events: AsyncIterator[list[bytes]], waiting: WaitingWorkers) -> None:
        async for announcements in events:
            for announcement in announcements:
                waiting.take(announcement)
            if not self._stirred:
                self._stirred = True
                self._wake.set()

    async def _work(self, scheduler: SchedulerClient) -> None:
        """Forward over one connection, until told to end or another forwarder has taken over."""
        # Where nobody has installed plugins yet, each question would be a warning in the log of a worker.
        if await _has_plugins(scheduler):
            await self.reconciler.ask(scheduler, everybody=True)
            if not await self._begins(scheduler):
                return
        await self._install(scheduler)
        with contextlib.suppress(NoAnswer):
            await scheduler.note_forwarder()
        self._say_connected()
        asked = reconciled = float("-inf")
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            due = now - reconciled >= RECONCILE_S
            if due or (self._stirred and now - asked >= WOKEN_S):
                due = await self._ask(scheduler, everybody=due)
                asked = self._clock.monotonic()
                reconciled = asked if due else reconciled
                if self._gives_way():
                    return
            ending = self.ended.is_set()  # what is withdrawn during a delivery needs another one
            await self.reconciler.deliver(scheduler, again=due, is_waited_for=ending or not self.settled.is_set())
            self.reconciler.tell()
            self._demand_a_cloud()
            await self._show_grounds(scheduler)
            self._settle()
            if ending:
                break
            next_s = asked + WOKEN_S if self._stirred else reconciled + RECONCILE_S
            await self._clock.wait(self._wake, max(0.0, next_s - self._clock.monotonic()))
        self.state = competing_forwarders.WITHDRAWN if self._withdrawn else "stopped"
        await self._install(
            scheduler, how_ended=competing_forwarders.WITHDRAWN if self._withdrawn else competing_forwarders.ENDED
        )

    async def _ask(self, scheduler: SchedulerClient, *, everybody: bool) -> bool:
        """Ask around, and everybody where a few have said something new; say whether everybody was asked."""
        self._stirred = False
        try:
            found = await self.reconciler.ask(scheduler, everybody=everybody)
            if found.lacking:
                await self._install(scheduler)
            if found.lacking or (found.changed and not everybody):
                await self.reconciler.ask(scheduler, everybody=True)
                everybody = True
        except NoAnswer as error:
            # Silence may be a network that was away, after which the scheduler has forgotten this subscription.
            if error.code == "silent" or not self.settled.is_set():
                raise
            self._stirred, everybody = True, False  # the scheduler is there, and is asked again soon
        return everybody

    async def _begins(self, scheduler: SchedulerClient) -> bool:
        """Say whether to forward over this connection: somebody else may be at work there."""
        other = competing_forwarders.installed(self.reconciler.machines.machines.values())
        if self._installed and self._gives_way():
            return False
        if other is None or other.name == self.own.name or other.how_ended:
            return True
        if self._plan.stands_by and other.sender == self.own.sender:
            return await self._stand_by(scheduler, other)
        if other.is_of_the_process_of(self.own):
            self._notices.say("forwarder", "takes the place of what this process forwarded before")
            return True
        own = "which will stop" if other.sender == self.own.sender else "which stops where the machines trust you"
        if await _is_connected(scheduler, other):
            self._notices.say(
                "forwarder", f"takes over from the forwarder of sender {fingerprint(other.sender)}, {own}"
            )
        return True

    async def _stand_by(self, scheduler: SchedulerClient, other: Forwarder | None) -> bool:
        """Wait while another forwarder of the same key is at work; say whether to forward after it."""
        while other is not None and not other.how_ended and other.sender == self.own.sender:
            is_connected = await _is_connected(scheduler, other)
            if is_connected:
                self.state = "standing-by"
                self._notices.say("standing-by", "another forwarder of yours is at work; this one stands by for it")
                self.settled.set()
                self._wake.clear()
                await self._clock.wait(self._wake, STAND_BY_S)
                if self.ended.is_set():
                    self.state = "stopped"
                    return False
            self._stirred = False
            with contextlib.suppress(NoAnswer):  # asked of who is gone too: how it ended it said before it went
                await self.reconciler.ask(scheduler, everybody=True)
            other = competing_forwarders.installed(self.reconciler.machines.machines.values())
            if not is_connected:
                break
        if other is not None and other.how_ended == competing_forwarders.WITHDRAWN:
            self._yield()
            return False
        self._revise(self.revision.identity)  # what the other has delivered since has later numbers
        return True

    def _gives_way(self) -> bool:
        """Say whether most machines follow another forwarder, so that this one ends, or connects anew to stand by."""
        other = competing_forwarders.successor(self.reconciler.machines.machines.values(), self.own)
        if other is None:
            return False
        if self._plan.stands_by and other.sender == self.own.sender:
            self._installed = False
            return True
        self._yield(other)
        return True

    def _yield(self, other: Forwarder | None = None) -> None:
        self.state = "replaced"
        who = (
            f"sender {fingerprint(other.sender)}"
            if other is not None and other.sender != self.own.sender
            else "another process"
        )
        if other is None or not other.is_of_the_process_of(self.own):  # else the later one has said so, in this process
            self._notices.say("forwarder", f"{who} forwards to this cluster now: this forwarder stops")
        self.end()

    async def _install(self, scheduler: SchedulerClient, *, how_ended: str = "") -> None:
        settings = self._settings(how_ended)
        try:
            await scheduler.install_in_scheduler({**settings, "grounds": self._grounds_shown})
        except NoAnswer:
            self.reconciler.scheduler_has_no_plugin()
        # One worker that hangs keeps the scheduler from answering; all others have it nevertheless.
        with contextlib.suppress(NoAnswer):
            await scheduler.install(settings)
        self._installed = True

    async def _show_grounds(self, scheduler: SchedulerClient) -> None:
        """Tell the scheduler, whose page shows it, on what ground machines are believed, where that has changed."""
        told = islice(self.reconciler.grounds.items(), MOST_GROUNDS)
        grounds = {credentials_page.claim(machine): ground for machine, ground in told}
        if grounds != self._grounds_shown:
            self._grounds_shown = grounds
            with contextlib.suppress(NoAnswer):  # the next installation or change tells it
                await scheduler.settle({**self._settings(), "grounds": grounds})

    def _settings(self, how_ended: str = "") -> dict[str, object]:
        return {
            "sender": self.own.sender,
            "forwarder": self.own.name,
            "ended": how_ended,
            "attest": self._attests_by,
        }

    def _say_connected(self) -> None:
        if self.state == "reconnecting":
            self.renewal.hurry()
            self._notices.say(
                "connection", "connected again; what you had on the cluster in futures is lost to Dask itself"
            )
        self.state = "forwarding"

    def _policy(self) -> AttestPolicy:
        return policy_of(self._plan.attest, self._plan.options, self.renewal.found.values())

    def ground(self, report: AgentReport) -> str:
        """Say on what ground the key of a report is believed, where a cloud vouches for it."""
        return self._judge.ground(report)

    def _demand_a_cloud(self) -> None:
        """Raise UsageError where nobody said whom to trust, and no machine that is there could be attested."""
        if self._basis is not TrustBasis.ATTESTED or self._attested_by_name or self.settled.is_set():
            return
        machines = list(self.reconciler.machines.machines.values())
        if machines and all(one.code in (NO_CLOUD, TOO_OLD_AGENT) for one in machines):
            raise key_trust.no_trust("no cloud vouches for the keys of the machines that are there")

    def _settle(self) -> None:
        if self.settled.is_set():
            if not self._withdrawn:
                self.reconciler.tell_served_too()
            return
        self._judge.end_first_use()
        for notice in self.revision.notices:
            self._notices.say(f"notice {notice}", notice)
        self.has_begun = True
        self.reconciler.tell_served(self._what())
        self.settled.set()

    def _what(self) -> list[str]:
        parts = []
        for slot, found in self.renewal.found.items():
            parts.append(f"{slot.value} {found.principal or 'identity'}")
        if self._plan.options.variables:
            parts.append(f"variables {', '.join(sorted(self._plan.options.variables))}")
        return parts or ["nothing: every slot is declined"]


async def _has_plugins(scheduler: SchedulerClient) -> bool:
    try:
        return await scheduler.noted_forwarder() is not None
    except NoAnswer:
        return True  # not known: to ask costs no more than a line in logs


async def _is_connected(scheduler: SchedulerClient, other: Forwarder) -> bool:
    try:
        return await scheduler.is_connected(other.name)
    except NoAnswer:
        return True  # not known: nobody is replaced by a lost answer
