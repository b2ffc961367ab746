"""Asks all machines of a cluster what they have, and delivers what they lack.

Holds what is known of the machines, and the revision in force. Connections are the scheduler client's; when it is time
to ask or deliver is the loop's.
"""

import asyncio
import random
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from credagent.clock import Clock
from credagent.dask_cluster import agent_report
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.forwarder import known_machines, user_notices
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.key_trust import KeyJudge, TrustedRecipient
from credagent.forwarder.known_machines import KnownMachines, Machine
from credagent.forwarder.sender_attestation import SenderAttestation
from credagent.forwarder.user_notices import UserNotices
from credagent.task_groups import for_each, run_until_first_ends

AT_ONCE = 24  # questions, and deliveries; the scheduler client has 32 connections, and workers that wait need some
ATTEMPTS = 3  # through different workers of one machine, before it counts as silent
LIST_ATTEMPTS = 3
SAMPLE = 16  # known machines that are asked after an announcement: nobody can tell whose it was
PROGRESS_S = 2.0
STALLED_S = 15.0  # without an answer of anybody: who is left is silent, and keeps nobody waiting
TOO_OLD = "too-old"


class Findings(Struct, frozen=True, kw_only=True):
    """What asking around has shown. `changed`: a machine that was known said something new of itself.

    `lacking`: processes were found that have no plugin, and had not been found before.
    """

    changed: bool
    lacking: bool


class MachineReconciler:
    """What is known of the machines, and the steps that bring each of them to the revision in force."""

    def __init__(
        self,
        revision: BundleRevision,
        judge: KeyJudge,
        notices: UserNotices,
        clock: Clock,
        own: SenderAttestation | None = None,
    ) -> None:
        """Know nobody yet; begin with `revision`. `own` attests the sender."""
        self.machines = KnownMachines()
        self.revision = revision
        self._revised = asyncio.Event()
        self._judge, self._notices, self._clock, self._own = judge, notices, clock, own
        self._without_plugin: frozenset[str] = frozenset()
        self.grounds: dict[str, str] = {}  # by the machine's id
        self._grounds_said: dict[str, str] = {}
        self._served_said: frozenset[str] = frozenset()  # recipients
        self._sealing = asyncio.Lock()

    def revise(self, revision: BundleRevision) -> None:
        """Put the next revision in force. Whoever has not answered a question about the one before is left alone."""
        self.revision = revision
        self._revised.set()

    async def ask(self, scheduler: SchedulerClient, *, everybody: bool) -> Findings:
        """Ask processes that are new and, `everybody`, one process of each machine, else of a few.

        It ends when a revision is made: nobody waits for that until each dead process has been given up.
        Raises NoAnswer where the scheduler does not say who is there, and Unavailable where it is gone.
        """
        self._revised.clear()
        addresses = await _addresses(scheduler)
        self.machines.keep_only(addresses)
        known = [next(iter(self.machines.addresses(machine))) for machine in self.machines.machines.values()]
        new = self.machines.unknown(addresses)
        if everybody:
            wanted = new | set(self.machines.faults) | set(known)
        else:
            wanted = (new - self._without_plugin) | set(random.sample(known, min(SAMPLE, len(known))))
        before = dict(self.machines.machines)
        lacking: set[str] = set()

        async def ask_one(address: str) -> None:
            if not await self._ask(scheduler, address):
                lacking.add(address)

        await run_until_first_ends(for_each(wanted, ask_one, at_once=AT_ONCE), _until(self._revised))
        found = Findings(
            changed=any(_facts(before.get(name)) != _facts(now) for name, now in self.machines.machines.items()),
            lacking=bool(lacking - self._without_plugin),
        )
        self._without_plugin = (self._without_plugin & addresses) - wanted | lacking
        replaced = user_notices.replaced(self.machines.machines.values(), self.revision.sender)
        self._notices.say("replaces", replaced)
        return found

    async def deliver(self, scheduler: SchedulerClient, *, again: bool, is_waited_for: bool = True) -> None:
        """Seal for the machines that are behind, deliver, and take in the answers.

        `again`: also to those that had this revision before and did not take it. It ends when a revision is made
        meanwhile, which the next call delivers. Its progress is said where somebody waits for it.
        """
        self._revised.clear()
        if self.revision.only_takes_back:
            self._judge_again()
        behind = self.machines.behind(self.revision.number, again=again)
        if behind:
            revision = self.revision
            answered: set[str] = set()
            watched = behind if is_waited_for else []
            await run_until_first_ends(
                self._seal(revision, _recipients(behind)), self._tell_progress(watched, revision)
            )
            await run_until_first_ends(
                self._deliver_all(scheduler, behind, revision, answered),
                self._tell_progress(watched, revision),
                _until_stalled(answered),
                _until(self._revised),
            )
            for machine in behind:
                if machine.id not in answered and not self._revised.is_set():
                    self.machines.put(self.machines.machines.get(machine.id, machine).silent())

    async def sealed(self, revision: BundleRevision, recipient: TrustedRecipient, *, afresh: bool = False) -> str:
        """Return the text of `revision` for exactly this key and audience."""
        await self._seal(revision, [recipient], afresh=afresh)
        return revision.text_for(recipient)

    async def for_machine(self, text: str, report: AgentReport) -> str:
        """Return what a machine is sent: the text, and the sender's attestation where the machine takes one."""
        return await self._own.beside(text) if report.trusts_identities and self._own is not None else text

    def take(self, report: AgentReport, revision: BundleRevision) -> None:
        """Judge what a process said, whatever it was the answer to, and take it in."""
        verdict = self._judge.judge(report, withdrawal=revision.only_takes_back)
        self.machines.take(report, verdict, revision, self._clock.now())

    def scheduler_has_no_plugin(self) -> None:
        """Note that the scheduler's own process is not served."""
        fault = AgentReport(
            address=agent_report.SCHEDULER,
            host="the scheduler",
            fault="no-plugins",
            hint="it takes no plugins: not served",
        )
        self.take(fault, self.revision)

    def tell(self) -> None:
        """Say what a person should do something about."""
        machines, faults = list(self.machines.machines.values()), list(self.machines.faults.values())
        for matter, text in (
            ("absent", user_notices.without_agent(faults)),
            ("own", user_notices.in_own_process(faults)),
            ("troubled", user_notices.troubled(faults)),
            ("untrusting", user_notices.untrusting(machines, self.revision.sender_line)),
            ("refused", user_notices.refused(machines)),
            ("distrusted", user_notices.distrusted(machines)),
            ("silent", user_notices.silent(machines)),
            ("no-plugin", user_notices.without_plugin(self._without_plugin)),
        ):
            self._notices.say_of_a_set(matter, text)
        self._tell_grounds(machines)
        failure = self._own.failure if self._own is not None else None
        self._notices.say("own-attestation", user_notices.unattested(failure) if failure is not None else "")

    def tell_served(self, what: Iterable[str]) -> None:
        """Say what reached the machines that are there when forwarding begins."""
        self._notices.say("served", user_notices.served(self.machines, what))
        self._served_said = frozenset(machine.report.recipient for machine in self.machines.served())

    def tell_served_too(self) -> None:
        """Name machines that have it by now and were not named yet: they joined later, or could not have it before."""
        if self._notices.say_of_a_set("served-too", user_notices.served_too(self.machines, self._served_said)):
            self._served_said |= {machine.report.recipient for machine in self.machines.served()}

    def _judge_again(self) -> None:
        """Judge anew, for a withdrawal, machines that get no grant: what they were granted before is taken back."""
        for machine in [one for one in self.machines.machines.values() if one.trusted is None]:
            report = replace(machine.report, outcome="")
            verdict = self._judge.judge(report, withdrawal=True)
            self.machines.put(known_machines.after(machine, report, verdict, self.revision, self._clock.now()))

    def _tell_grounds(self, machines: Iterable[Machine]) -> None:
        """Say on what ground machines are believed, once for each of them."""
        grounds = {one.id: self._judge.ground(one.report) for one in machines if one.trusted is not None}
        self.grounds = {name: ground for name, ground in grounds.items() if ground}
        new = [ground for name, ground in self.grounds.items() if self._grounds_said.get(name) != ground]
        if self._notices.say_of_a_set("believed", user_notices.believed(new)):
            self._grounds_said |= self.grounds

    async def _ask(self, scheduler: SchedulerClient, address: str) -> bool:
        """Ask one process; say whether it has the plugin, or is to be believed that it has."""
        try:
            report = await scheduler.report(address)
        except NoAnswer as error:
            fault, hint = ("bad-answer", "its answer cannot be read") if error.code == "bad-answer" else _SILENT
            report = AgentReport(address=address, host=address, fault=fault, hint=hint)
        if report is None:
            self.machines.forget(address)
            return False
        await self._judge.learn(report)
        self.take(replace(report, outcome=""), self.revision)
        return True

    async def _deliver_all(
        self, scheduler: SchedulerClient, behind: list[Machine], revision: BundleRevision, answered: set[str]
    ) -> None:
        async def deliver_one(machine: Machine) -> None:
            await self._deliver(scheduler, machine, revision)
            answered.add(machine.id)

        await for_each(behind, deliver_one, at_once=AT_ONCE)
        now = map(self.machines.machines.get, [machine.id for machine in behind])
        too_old = [machine for machine in now if machine is not None and machine.code == TOO_OLD]
        if too_old:
            await self._seal(revision, _recipients(too_old), afresh=True)
            await for_each(too_old, deliver_one, at_once=AT_ONCE)

    async def _deliver(self, scheduler: SchedulerClient, machine: Machine, revision: BundleRevision) -> None:
        if machine.trusted is None:
            return
        try:
            text = revision.text_for(machine.trusted)
        except KeyError:  # dropped meanwhile, for many others
            text = await self.sealed(revision, machine.trusted)
        text = await self.for_machine(text, machine.report)
        self.machines.put(machine.sent(revision))
        addresses = sorted(self.machines.addresses(machine))
        for address in random.sample(addresses, min(ATTEMPTS, len(addresses))):
            try:
                report = await scheduler.deliver(address, text)
            except NoAnswer:
                continue
            if report is None:
                continue
            answers = report.machine == machine.id  # else the process belongs to another machine meanwhile
            self.take(report if answers else replace(report, outcome=""), revision)
            if answers:
                return
        self.machines.put(self.machines.machines.get(machine.id, machine).silent())

    async def _seal(
        self, revision: BundleRevision, recipients: Iterable[TrustedRecipient], *, afresh: bool = False
    ) -> None:
        async with self._sealing:
            if afresh:
                await asyncio.to_thread(revision.seal_afresh, recipients, self._clock.now())
            else:
                await asyncio.to_thread(revision.seal_for, recipients)

    async def _tell_progress(self, behind: list[Machine], revision: BundleRevision) -> None:
        """Say again and again how many of several machines have it, until cancelled."""
        names = {machine.id for machine in behind}
        while True:
            await asyncio.sleep(PROGRESS_S)
            if len(behind) < 2:  # noqa: PLR2004  of one machine there is nothing between nothing and all
                continue
            now = [machine for name, machine in self.machines.machines.items() if name in names]
            done = sum(machine.confirmed >= revision.number for machine in now)
            if not done and revision.sealed_texts < len(behind):
                text = user_notices.progress(revision.sealed_texts, len(behind), "sealed for")
            else:
                text = user_notices.progress(done, len(behind), "confirmed by")
            self._notices.say_of_a_set("progress", text)


_SILENT = ("silent", "it does not answer")


async def _addresses(scheduler: SchedulerClient) -> frozenset[str]:
    for _ in range(LIST_ATTEMPTS - 1):
        try:
            return await scheduler.workers() | {agent_report.SCHEDULER}
        except NoAnswer as error:
            if error.code == "silent":
                raise
    return await scheduler.workers() | {agent_report.SCHEDULER}


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _until_stalled(answered: set[str]) -> None:
    """Return when nobody has answered for a while, however many have before."""
    count = -1
    while count != len(answered):
        count = len(answered)
        await asyncio.sleep(STALLED_S)


def _recipients(machines: Iterable[Machine]) -> list[TrustedRecipient]:
    return [machine.trusted for machine in machines if machine.trusted is not None]


def _facts(machine: Machine | None) -> object:
    """Return what a machine says of itself that may call for asking the others too."""
    if machine is None:
        return None
    report = machine.report
    return (report.sender, report.bundle_id, report.forwarder, report.forwarder_ended, type(machine.verdict))
