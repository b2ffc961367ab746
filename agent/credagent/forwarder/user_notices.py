"""What a person reads while somebody forwards: each thing once, and again when it changes. Names and numbers only."""

import time
from collections.abc import Callable, Iterable

from credagent.bundle.fingerprint import fingerprint
from credagent.dask_cluster.agent_report import SCHEDULER, AgentReport
from credagent.dask_cluster.dask_plugins import OWN_PROCESS
from credagent.errors import CredagentError
from credagent.forwarder.known_machines import KnownMachines, Machine, MachineState

WHAT_IS_WELL = ("served", "served-too", "believed", "standing-by")  # matters that call for nobody
CHANGES_S = 15.0  # between two lines about one matter of machines that come and go: a cluster may grow by hundreds
SHOWN = 5  # names in one line; the rest are counted


class UserNotices:
    """Says a thing about a matter unless that was the last thing said about it."""

    def __init__(
        self,
        say: Callable[[str], None],
        unsaid: Iterable[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Speak through `say`, which must not block for long; of the matters in `unsaid` nothing is said."""
        self._say, self._unsaid, self._monotonic = say, frozenset(unsaid), monotonic
        self._last: dict[str, str] = {}
        self._said_at: dict[str, float] = {}

    def say(self, matter: str, text: str) -> None:
        """Say `text`; an empty one closes the matter."""
        if self._last.get(matter, "") != text and text and matter not in self._unsaid:
            self._said_at[matter] = self._monotonic()
            self._say(text)
        self._last[matter] = text

    def say_of_a_set(self, matter: str, text: str) -> bool:
        """Say `text` as `say` does, unless the matter's last line is younger than CHANGES_S; return False for that.

        Nothing is kept for later: the caller comes again, with what holds then.
        """
        too_soon = self._monotonic() < self._said_at.get(matter, float("-inf")) + CHANGES_S
        if too_soon and text not in ("", self._last.get(matter, "")):
            return False
        self.say(matter, text)
        return True


def hosts(names: Iterable[str]) -> str:
    """Return some of the names, and how many more there are."""
    found = sorted(set(names))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def count(number: int, thing: str) -> str:
    """Return 1 machine, 2 machines."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def without_agent(faults: Iterable[AgentReport]) -> str:
    """Say where there is nobody to speak with."""
    absent = [fault for fault in faults if fault.fault == "no-agent"]
    if not absent:
        return ""
    return (
        f"no agent answers on {hosts(fault.host for fault in absent)}: install credagent there, or its tasks go without"
    )


def troubled(faults: Iterable[AgentReport]) -> str:
    """Say which agents answered with something else."""
    told = [fault for fault in faults if fault.fault not in ("no-agent", OWN_PROCESS)]
    parts = [f"{fault.host}: {fault.fault}. {fault.hint}".strip() for fault in told]
    return "; ".join(sorted(set(parts))[:SHOWN])


def in_own_process(faults: Iterable[AgentReport]) -> str:
    """Say what is left alone, since it runs in a process of the sender's."""
    found = {fault.address for fault in faults if fault.fault == OWN_PROCESS}
    who = ["the scheduler runs"] if SCHEDULER in found else []
    who += [f"{count(len(found - {SCHEDULER}), 'worker')} run"] if found - {SCHEDULER} else []
    return f"{' and '.join(who)} in your own process, which has your identity already: left alone" if who else ""


def untrusting(machines: Iterable[Machine], sender_line: str) -> str:
    """Say which agents do not know this sender, and what to add, ready to paste."""
    refusing = [machine for machine in machines if machine.state is MachineState.REFUSED]
    found = [machine for machine in refusing if machine.code == "untrusted-sender"]
    if not found:
        return ""
    number = len({machine.report.recipient for machine in found})
    verb = "does not" if number == 1 else "do not"
    who = hosts(machine.host for machine in found)
    return (
        f"{count(number, 'agent')} {verb} trust you ({who}); run `credagent trust {sender_line}` there, "
        "then reload them, or add to their configuration:\n"
        f'[bundle]\ntrusted_senders = ["{sender_line}"]'
    )


def refused(machines: Iterable[Machine]) -> str:
    """Say which agents refused for another reason, by reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for machine in machines:
        if machine.state is MachineState.REFUSED and machine.code != "untrusted-sender":
            reasons.setdefault((machine.code, machine.hint), []).append(machine.host)
    return "; ".join(f"{hosts(names)} refused: {code}. {hint}".strip() for (code, hint), names in reasons.items())


def distrusted(machines: Iterable[Machine]) -> str:
    """Say whose announced key is not used."""
    found = [machine for machine in machines if machine.state is MachineState.DISTRUSTED]
    reasons = {machine.code: machine.hint for machine in found}
    return "; ".join(
        f"NOT sent to {hosts(machine.host for machine in found if machine.code == code)} ({code}): {why}"
        for code, why in reasons.items()
    )


def believed(grounds: Iterable[str]) -> str:
    """Say on what ground keys are believed."""
    found = sorted(set(grounds))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"believed because {'; '.join(found[:SHOWN])}{more}" if found else ""


def unattested(failure: CredagentError) -> str:
    """Say that one's own cloud does not vouch for one's key, to machines that go by that."""
    return f"machines that trust senders by identity are sent no word of yours: {failure}. {failure.hint}".strip()


def silent(machines: Iterable[Machine]) -> str:
    """Say who does not answer."""
    found = [machine.host for machine in machines if machine.state is MachineState.SILENT]
    return f"no answer from {hosts(found)}; trying again" if found else ""


def replaced(machines: Iterable[Machine], own_sender: str) -> str:
    """Say whose bundle is, or was, in force where this one goes."""
    found = list(machines)
    if others := sorted({machine.replaced_by for machine in found} - {"", own_sender}):
        return f"what sender {fingerprint(others[0])} forwards has replaced yours on some machines"
    others = sorted({machine.report.sender for machine in found} - {"", own_sender})
    return f"what sender {fingerprint(others[0])} had forwarded is replaced" if others else ""


def without_plugin(addresses: Iterable[str]) -> str:
    """Say where forwarding could not be installed."""
    found = sorted(addresses)
    return f"{hosts(found)}: forwarding could not be installed there; see the log of that process" if found else ""


def served(known: KnownMachines, what: Iterable[str]) -> str:
    """Say what reached how many."""
    found = known.served()
    processes = sum(len(known.addresses(machine)) for machine in found)
    number = len({machine.report.recipient for machine in found})
    where = f"{count(number, 'machine')} ({count(processes, 'process').replace('processs', 'processes')})"
    return f"forwarded to {where}: {'; '.join(what)}"


def served_too(known: KnownMachines, before: frozenset[str]) -> str:
    """Say which machines have it beside the recipients in `before`, and how many have it of all that are there."""
    found = {machine.report.recipient: machine.host for machine in known.served()}
    late = [host for recipient, host in found.items() if recipient not in before]
    if not late:
        return ""
    faults = (fault for fault in known.faults.values() if fault.fault != OWN_PROCESS)
    without = {fault.host for fault in faults if fault.address != SCHEDULER}
    there = count(len(known.shown()) + len(without), "machine")
    return f"forwarded to {hosts(late)}{' too' if before else ''}: {len(found)} of {there}"


def progress(done: int, total: int, doing: str) -> str:
    """Say how far something is that takes longer than two seconds."""
    return f"{doing} {done} of {total}"
