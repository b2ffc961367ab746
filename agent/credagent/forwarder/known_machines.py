"""What is known of a cluster's machines: one frozen record each, and the one function that replaces it. No I/O.

A machine is its public key at one host: eight workers there that report one key are one. Another host that reports the
key is kept apart, so that it cannot answer for the first; people are shown one machine. Processes without an agent are
kept by address, so that they can be named.

    verdict and report                                          state       confirmed
    ----------------------------------------------------------  ----------  ---------
    distrusted                                                  distrusted  none
    answers a delivery: taken                                   admitted    that revision
    answers a delivery: refused, with a code                    refused     unchanged
    has a bundle of this revision in force                      admitted    this revision
    has confirmed before, and another sender's is in force now  waiting     none
    anything else                                               unchanged   unchanged
"""

from datetime import datetime
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.dask_plugins import TAKEN
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.key_trust import Distrusted, TrustedRecipient, Verdict
from credagent.forwarder.validity_after_withdrawal import HandedOut


class MachineState(str, Enum):
    """How far a machine is, as `status()` shows it."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    REFUSED = "refused"
    SILENT = "silent"
    DISTRUSTED = "distrusted"


class Machine(Struct, frozen=True, kw_only=True):
    """One machine. `report` is what it said last, `verdict` the judgement of exactly that.

    `confirmed` is the number of the newest revision that its agent has, `tried` of the newest that was sent to it.
    `replaced_by` is the key id of a sender whose bundle has replaced a confirmed one, `handed_out` what
    was confirmed in all.
    """

    report: AgentReport
    verdict: Verdict
    state: MachineState = MachineState.WAITING
    code: str = ""
    hint: str = ""
    confirmed: int = 0
    tried: int = 0
    confirmed_at: datetime | None = None
    replaced_by: str = ""
    handed_out: HandedOut = HandedOut()

    @property
    def id(self) -> str:
        """Return what tells this machine from others."""
        return self.report.machine

    @property
    def host(self) -> str:
        """Return its name for people."""
        return self.report.host

    @property
    def trusted(self) -> TrustedRecipient | None:
        """Return to whom its bundles are sealed, None where it gets none."""
        return self.verdict if isinstance(self.verdict, TrustedRecipient) else None

    def sent(self, revision: BundleRevision) -> "Machine":
        """Return it after a revision was sent to it."""
        return replace(self, tried=revision.number)

    def silent(self) -> "Machine":
        """Return it after nobody answered for it."""
        return replace(self, state=MachineState.SILENT)


def after(
    machine: Machine | None, report: AgentReport, verdict: Verdict, revision: BundleRevision, now: datetime
) -> Machine:
    """Return what is known of a machine after a report of it. `report.outcome` is of a delivery of `revision`.

    The table is in the module's docstring. `machine` None: nothing was known before.
    """
    known = replace(machine or Machine(report=report, verdict=verdict), report=report, verdict=verdict)
    if isinstance(verdict, Distrusted):
        return Machine(
            report=report,
            verdict=verdict,
            state=MachineState.DISTRUSTED,
            code=verdict.code,
            hint=verdict.why,
            handed_out=known.handed_out,
        )
    if known.state is MachineState.DISTRUSTED:
        known = replace(known, state=MachineState.WAITING, code="", hint="")
    if report.outcome in TAKEN or (report.sender == revision.sender and revision.holds(report.bundle_id)):
        return Machine(
            report=report,
            verdict=verdict,
            state=MachineState.ADMITTED,
            confirmed=revision.number,
            tried=revision.number,
            confirmed_at=now,
            handed_out=known.handed_out.and_then(revision.handed_out),
        )
    if report.outcome:
        return replace(known, state=MachineState.REFUSED, code=report.outcome, hint=report.hint)
    if known.confirmed and report.sender != revision.sender:
        return replace(
            known, state=MachineState.WAITING, code="", hint="", confirmed=0, tried=0, replaced_by=report.sender
        )
    return known


class KnownMachines:
    """All machines, the processes that speak for each, and the processes that have no agent to speak for."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.machines: dict[str, Machine] = {}
        self.faults: dict[str, AgentReport] = {}
        self._machine_of: dict[str, str] = {}
        self._addresses: dict[str, set[str]] = {}

    def take(self, report: AgentReport, verdict: Verdict, revision: BundleRevision, now: datetime) -> Machine | None:
        """Take in what a process said when it was asked; return its machine, None where it has no agent."""
        self.forget(report.address)
        if report.fault:
            self.faults[report.address] = report
            return None
        self._machine_of[report.address] = report.machine
        self._addresses.setdefault(report.machine, set()).add(report.address)
        return self.put(after(self.machines.get(report.machine), report, verdict, revision, now))

    def put(self, machine: Machine) -> Machine:
        """Replace the record of a machine."""
        self.machines[machine.id] = machine
        return machine

    def forget(self, address: str) -> None:
        """Forget what a process said. Its machine stays: another process may speak for it at any moment."""
        self.faults.pop(address, None)
        self._addresses.get(self._machine_of.pop(address, ""), set()).discard(address)

    def keep_only(self, addresses: frozenset[str]) -> None:
        """Forget processes that are gone, and machines that nobody speaks for any more."""
        for address in (set(self._machine_of) | set(self.faults)) - addresses:
            self.forget(address)
        self._addresses = {machine: found for machine, found in self._addresses.items() if found}
        self.machines = {name: machine for name, machine in self.machines.items() if name in self._addresses}

    def addresses(self, machine: Machine) -> frozenset[str]:
        """Return through which processes a machine is reached."""
        return frozenset(self._addresses.get(machine.id, ()))

    def unknown(self, addresses: frozenset[str]) -> frozenset[str]:
        """Return which of `addresses` have not reported."""
        return addresses - set(self._machine_of) - set(self.faults)

    def served(self) -> list[Machine]:
        """Return the machines whose agent has what is forwarded."""
        return [machine for machine in list(self.machines.values()) if machine.state is MachineState.ADMITTED]

    def shown(self) -> list[list[Machine]]:
        """Return what people know as machines: each with all the hosts that report its key."""
        found: dict[str, list[Machine]] = {}
        for machine in list(self.machines.values()):
            found.setdefault(machine.report.recipient, []).append(machine)
        return list(found.values())

    def behind(self, revision: int, *, again: bool) -> list[Machine]:
        """Return the trusted machines whose agent has not confirmed `revision`.

        `again` False leaves out those that had it already and did not take it.
        """
        found = [machine for machine in self.machines.values() if machine.trusted and self._addresses.get(machine.id)]
        return [one for one in found if one.confirmed < revision and (again or one.tried < revision)]
