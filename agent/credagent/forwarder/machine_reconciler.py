"""One round after another: who is there, whose key is used, seal what is missing, deliver, hear back, tell.

Holds the roster and the edition in force. Connections are the courier's; when a round is due is the engine's.
"""

import asyncio
import os
import random
from collections.abc import Iterable

from msgspec import Struct

from credagent.bundle.envelope import audience_fault
from credagent.clock import Clock
from credagent.dask_cluster import agent_report
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.errors import CredagentError, Unavailable
from credagent.forwarder import key_trust, user_notices
from credagent.forwarder.announcement_filter import LETTERS, Announcements, AnnouncementVerdict
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.known_machines import (
    ADMITTED,
    DISTRUSTED,
    REFUSED,
    SILENT,
    WAITING,
    KnownMachine,
    KnownMachines,
)
from credagent.forwarder.user_notices import UserNotices

DELIVERIES_AT_ONCE = 32
ATTEMPTS = 3  # through different workers of one machine, before it counts as silent
PROGRESS_S = 2.0
EDITION_AGE_S = 300.0  # an older text is sealed anew for a machine that joins: agents bound a bundle's age
TAKEN = ("admitted", "unchanged")


class Own(Struct, frozen=True, kw_only=True):
    """What tells this process's own children (a LocalCluster) from a machine elsewhere."""

    boot: str
    pid: int


class MachineReconciler:
    """What is known, and the steps that bring every machine to the edition in force."""

    def __init__(
        self, plan: ForwardingPlan, ground: key_trust.TrustBasis, voice: UserNotices, clock: Clock, own: Own
    ) -> None:
        """Know nobody yet; `publish` sets the first edition."""
        self.roster = KnownMachines()
        self.number = 0
        self._plan, self._ground, self._voice, self._clock, self._own = plan, ground, voice, clock, own
        self._first_use = key_trust.FirstUse(known={})
        self._shared_audience = key_trust.SharedAudience()
        self._edition: BundleRevision | None = None
        self._without_resident: set[str] = set()
        self._sealing = asyncio.Lock()
        self.announcements = Announcements()
        self._mailed: dict[str, tuple[str, str]] = {}

    @property
    def edition(self) -> BundleRevision:
        """Return the edition in force."""
        if self._edition is None:
            raise RuntimeError("no edition was published")
        return self._edition

    def publish(self, edition: BundleRevision) -> None:
        """Put a new edition in force: from now on every machine is behind."""
        self._edition = edition
        self.number += 1

    def settle(self) -> None:
        """End the time of first use: machines that join from now on did not belong to it."""
        self._first_use.closed = True

    async def look_who_is_there(self, courier: SchedulerClient) -> set[str]:
        """Ask the scheduler who is there."""
        at = self._clock.monotonic()
        addresses = await courier.addresses()
        self.announcements.take_list(addresses, at)
        return addresses | {agent_report.SCHEDULER}

    def announced(self, report: AgentReport) -> AnnouncementVerdict:
        """Take in what an event says, as far as an event is believed."""
        belief = self.announcements.believe(report, self.roster)
        if belief is AnnouncementVerdict.NEWS:
            self.heard(report)
        return belief

    def heard(self, report: AgentReport) -> KnownMachine | None:
        """Take in what a process says of its machine; return the machine if its agent may be sealed to."""
        own = bool(self._own.boot) and report.boot == self._own.boot and self._own.pid in (report.pid, *report.parents)
        if own and report.fault == "no-agent":
            self._voice.say(
                "own", "workers that this very process started have your identity already; they are left alone"
            )
            return None
        self._without_resident.discard(report.address)
        machine = self.roster.note(report)
        if machine is None:
            return None
        verdict = self._judge(machine, report)
        if not verdict.trusted:
            machine.state, machine.code, machine.hint = DISTRUSTED, verdict.code, verdict.why
            return None
        if machine.state == DISTRUSTED:
            machine.state = WAITING
        self._compare(machine)
        return machine

    async def reconcile(
        self, courier: SchedulerClient, *, known: bool = True, doubted: frozenset[str] = frozenset()
    ) -> bool:
        """Ask around; say whether processes were found in which no resident answers, and that is new.

        `known` False leaves out machines that have just spoken for themselves, but for the `doubted`.
        """
        addresses = await self.look_who_is_there(courier)
        self.roster.keep_only(addresses)
        self._without_resident &= addresses
        before = set(self._without_resident)
        voices = {next(iter(machine.addresses)) for machine in self.roster.machines.values() if known}
        others = set(self.roster.faults) | self.roster.unknown(addresses) | (doubted & addresses)
        await self._at_once(self._ask(courier, address) for address in voices | others)
        return bool(self._without_resident - before)

    async def deliver(self, courier: SchedulerClient, *, again: bool = True) -> None:
        """Seal for whoever is behind, deliver, and take in the answers. `again`: to those that refused it, too."""
        behind = self.roster.behind(self.number, again=again)
        if not behind:
            return
        self._freshen(behind)
        edition, number = self.edition, self.number  # a renewal may publish the next one meanwhile
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(self._tell_progress(behind, edition, number))
            await self._seal(edition, behind)
            await self._at_once(self._deliver(courier, machine, edition, number) for machine in behind)
            ticker.cancel()

    async def answer_mail(self, courier: SchedulerClient, report: AgentReport) -> None:
        """Answer a worker that waits before its first task. It cannot be asked: only its event speaks for it."""
        if self.roster.contradicts(report):
            await courier.mail(report.nonce, {"why": "something else was known of it; it is asked when it has started"})
            return
        machine = self.heard(report)
        if machine is None:
            known = self.roster.machines.get(report.machine)
            why = report.fault or (f"{known.code}: {known.hint}" if known is not None else "not served")
            await courier.mail(report.nonce, {"why": why})
            return
        self._freshen([machine])
        edition = self.edition
        await self._seal(edition, [machine])
        if not edition.is_sealed_for(machine):
            await courier.mail(report.nonce, {"why": "its machine named another audience meanwhile"})
            return
        self._mailed[report.nonce] = (report.address, machine.id)
        if len(self._mailed) > LETTERS:
            del self._mailed[next(iter(self._mailed))]
        await courier.mail(report.nonce, {"bundle": edition.text_for(machine), "slots": edition.granted})

    def took_mail(self, report: AgentReport) -> None:
        """Take in what became of a bundle that a starting worker fetched, if one was put into its mailbox."""
        if self._mailed.pop(report.nonce, None) != (report.address, report.machine):
            return
        machine = self.heard(report)
        if machine is not None:
            self._outcome(machine, report, self.number if report.bundle_id in self.edition.bundle_ids else 0)

    def _outcome(self, machine: KnownMachine, report: AgentReport, number: int) -> None:
        if report.outcome in TAKEN:
            machine.state, machine.code, machine.hint = ADMITTED, "", ""
            machine.edition, machine.confirmed_at = number, self._clock.now()
        else:
            machine.state, machine.code, machine.hint = REFUSED, report.outcome, report.hint

    def tell(self) -> None:
        """Say what a person should do something about."""
        machines, faults = list(self.roster.machines.values()), list(self.roster.faults.values())
        self._voice.say("absent", user_notices.without_agent(faults))
        self._voice.say("troubled", user_notices.troubled(faults))
        self._voice.say("untrusting", user_notices.untrusting(machines, self._plan.key.public_key))
        self._voice.say("refused", user_notices.refused(machines))
        self._voice.say("distrusted", user_notices.distrusted(machines))
        self._voice.say("silent", user_notices.silent(machines))
        self._voice.say("no-resident", user_notices.without_resident(self._without_resident))

    def _judge(self, machine: KnownMachine, report: AgentReport) -> key_trust.KeyVerdict:
        wanted = self._plan.options.audience
        if machine.audience and (fault := audience_fault(machine.audience)):
            return key_trust.KeyVerdict(trusted=False, code="bad-audience", why=fault)
        if wanted and machine.audience not in ("", wanted):
            why = f"its audience is {machine.audience!r}, not {wanted!r}"
            return key_trust.KeyVerdict(trusted=False, code="other-audience", why=why)
        if self._ground is key_trust.TrustBasis.PINNED:
            own = wanted or machine.key in self._plan.pinned
            return key_trust.TRUSTED if own else self._shared_audience.judge(machine.audience)
        if report.key is None:
            why = "it opens bundles with a key that a KMS holds: name that key in recipients="
            return key_trust.KeyVerdict(trusted=False, code="no-key", why=why)
        if self._ground is key_trust.TrustBasis.FIRST_USE:
            return self._first_use.judge(report, report.key)
        return key_trust.TRUSTED

    def _compare(self, machine: KnownMachine) -> None:
        """Notice an agent that has forgotten, or that somebody else has supplied since it confirmed."""
        if machine.sender not in ("", self._plan.key.key_id):
            had = machine.state == ADMITTED
            said = "has replaced yours on some machines" if had else "had forwarded is replaced"
            self._voice.say("replaces", f"what sender {machine.sender} {said}")
        if machine.state == ADMITTED and machine.sender != self._plan.key.key_id:
            machine.state, machine.edition, machine.tried = WAITING, 0, 0

    def _freshen(self, machines: Iterable[KnownMachine]) -> None:
        """Renumber the edition where an old one would have to be sealed for a machine that joined."""
        age_s = (self._clock.now() - self.edition.made_at).total_seconds()
        if age_s < EDITION_AGE_S or all(self.edition.is_sealed_for(machine) for machine in machines):
            return
        confirmed = [machine for machine in self.roster.machines.values() if machine.edition == self.number]
        self.publish(self.edition.again(self._clock.now()))
        for machine in confirmed:
            machine.edition = machine.tried = self.number  # the identity is the same; only the number is new

    async def _ask(self, courier: SchedulerClient, address: str) -> None:
        try:
            report = await courier.report(address)
        except Unavailable as error:
            if error.code not in ("silent", "scheduler-failed"):
                raise
            report = AgentReport(address=address, host=address, fault="silent", hint="it does not answer")
        if report is None:
            self.roster.forget(address)
            self._without_resident.add(address)
        else:
            self.heard(report)

    async def _seal(self, edition: BundleRevision, machines: list[KnownMachine]) -> None:
        async with self._sealing:
            await asyncio.to_thread(edition.seal_for, machines)

    async def _deliver(
        self, courier: SchedulerClient, machine: KnownMachine, edition: BundleRevision, number: int
    ) -> None:
        machine.tried = number
        addresses = random.sample(sorted(machine.addresses), min(ATTEMPTS, len(machine.addresses)))
        for address in addresses:
            if not edition.is_sealed_for(machine):
                return  # it has named another audience since: the next round seals for that one
            try:
                report = await courier.deliver(address, edition.text_for(machine))
            except Unavailable as error:
                if error.code not in ("silent", "scheduler-failed"):
                    raise
                continue
            if report is not None:
                self.roster.note(report)
                self._outcome(machine, report, number)
                return
        machine.state = SILENT

    async def _at_once(self, work: Iterable["asyncio.Future[None] | object"]) -> None:
        limit = asyncio.Semaphore(DELIVERIES_AT_ONCE)

        async def limited(item: object) -> None:
            async with limit:
                await item  # type: ignore[misc]

        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(limited(item))

    async def _tell_progress(self, behind: list[KnownMachine], edition: BundleRevision, number: int) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            done = sum(machine.edition >= number for machine in behind)
            if not done and edition.sealed < len(behind):
                self._voice.say("progress", user_notices.progress(edition.sealed, len(behind), "sealed for"))
            else:
                self._voice.say("progress", user_notices.progress(done, len(behind), "confirmed by"))


def own_process() -> Own:
    """Return what this process is known by."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read(64).strip()
    except OSError:
        boot = ""  # not Linux: then it is no machine with an agent either
    return Own(boot=boot, pid=os.getpid())


def failed(error: BaseExceptionGroup) -> CredagentError:
    """Return the one error that a group of tasks failed with."""
    for inner in error.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            return failed(inner)
        if isinstance(inner, CredagentError):
            return inner
    raise error
