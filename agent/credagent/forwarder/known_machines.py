"""Which machines there are, through which processes each is reached, and what became of the last bundle. No I/O.

A machine is its public key at one host: eight workers there that announce one key are one. Another host that announces
the key is kept apart, so that it cannot answer for the first; people are shown one machine. Processes without an agent
are kept by address, so that they can be named.
"""

from datetime import datetime

from msgspec import Struct, field

from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport

WAITING, SENT, ADMITTED, REFUSED, SILENT, DISTRUSTED = "waiting", "sent", "admitted", "refused", "silent", "distrusted"


class KnownMachine(Struct, kw_only=True):
    """One recipient. `edition` is the number of the last one that its agent confirmed, `tried` of the last one sent.

    `sender` and `bundle_id` are of the bundle that its agent has in force.
    """

    id: str
    recipient: str
    key: RecipientPublicKey | None
    host: str
    audience: str = ""
    addresses: set[str] = field(default_factory=set)
    state: str = WAITING
    code: str = ""
    hint: str = ""
    edition: int = 0
    tried: int = 0
    sender: str = ""
    bundle_id: str = ""
    confirmed_at: datetime | None = None


class KnownMachines:
    """What is known of the cluster."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.machines: dict[str, KnownMachine] = {}
        self.faults: dict[str, AgentReport] = {}
        self._whose: dict[str, str] = {}

    def note(self, report: AgentReport) -> KnownMachine | None:
        """Take in a report; return the machine it speaks for, None where it has no agent."""
        self.forget(report.address)
        if report.fault:
            self.faults[report.address] = report
            return None
        new = KnownMachine(id=report.machine, recipient=report.recipient, key=report.key, host=report.host)
        machine = self.machines.setdefault(report.machine, new)
        machine.addresses.add(report.address)
        machine.audience, machine.sender, machine.bundle_id = report.audience, report.sender, report.bundle_id
        self._whose[report.address] = machine.id
        return machine

    def forget(self, address: str) -> None:
        """Forget what a process said. Its machine stays: another process may speak for it at any moment."""
        self.faults.pop(address, None)
        before = self.machines.get(self._whose.pop(address, ""))
        if before is not None:
            before.addresses.discard(address)

    def keep_only(self, addresses: set[str]) -> None:
        """Forget processes that are gone, and machines that nobody speaks for any more."""
        for address in (set(self._whose) | set(self.faults)) - addresses:
            self.forget(address)
        self.machines = {name: machine for name, machine in self.machines.items() if machine.addresses}

    def knows(self, address: str) -> bool:
        """Tell whether a process has reported."""
        return address in self._whose or address in self.faults

    def repeats(self, report: AgentReport) -> bool:
        """Tell whether a report says what is known of its process."""
        machine = self.machines.get(self._whose.get(report.address, ""))
        if machine is None:
            return bool(report.fault) and self._fault_of(report.address) == report.fault
        same = (machine.sender, machine.bundle_id) == (report.sender, report.bundle_id)
        return same and not self.contradicts(report)

    def contradicts(self, report: AgentReport) -> bool:
        """Tell whether a report says another thing of its process's machine than what is known of it."""
        if not self.knows(report.address):
            return False
        machine = self.machines.get(self._whose.get(report.address, ""))
        if machine is None or report.fault:
            return self._fault_of(report.address) != report.fault
        return (machine.id, machine.audience) != (report.machine, report.audience)

    def _fault_of(self, address: str) -> str:
        return self.faults[address].fault if address in self.faults else ""

    def shown(self) -> list[list[KnownMachine]]:
        """Return what people know as machines: each with all the hosts that announce its key."""
        found: dict[str, list[KnownMachine]] = {}
        for machine in list(self.machines.values()):
            found.setdefault(machine.recipient, []).append(machine)
        return list(found.values())

    def follows(self, sender: str) -> bool:
        """Tell whether most machines that have a bundle in force have one of this sender."""
        found = [machine.sender == sender for machine in self.machines.values() if machine.addresses and machine.sender]
        return 2 * sum(found) > len(found)

    def unknown(self, addresses: set[str]) -> set[str]:
        """Return which of `addresses` have not reported."""
        return addresses - set(self._whose) - set(self.faults)

    def behind(self, edition: int, *, again: bool = True) -> list[KnownMachine]:
        """Return the machines that are trusted and whose agent has not confirmed `edition`.

        `again` False leaves out those that had it already and did not take it.
        """
        found = [machine for machine in self.machines.values() if machine.addresses and machine.edition < edition]
        return [machine for machine in found if machine.state != DISTRUSTED and (again or machine.tried < edition)]
