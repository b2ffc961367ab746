"""What a person reads while somebody forwards: each thing once, again when it changes. Names and numbers, no values."""

from collections.abc import Callable, Iterable

from credagent.bundle.key_pairs import SenderPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.forwarder.known_machines import ADMITTED, DISTRUSTED, REFUSED, SILENT, KnownMachine

SHOWN = 5  # names in one line; the rest are counted


class UserNotices:
    """Says a thing about a matter unless that was the last thing said about it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Speak through `say`, which must not block for long."""
        self._say = say
        self._last: dict[str, str] = {}

    def say(self, matter: str, text: str) -> None:
        """Say `text`; an empty one closes the matter."""
        if self._last.get(matter, "") != text and text:
            self._say(text)
        self._last[matter] = text


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
    parts = [f"{fault.host}: {fault.fault}. {fault.hint}".strip() for fault in faults if fault.fault != "no-agent"]
    return "; ".join(sorted(set(parts))[:SHOWN])


def untrusting(machines: Iterable[KnownMachine], key: SenderPublicKey) -> str:
    """Say which agents do not know this sender, and what to add, ready to paste."""
    found = [machine for machine in machines if machine.state == REFUSED and machine.code == "untrusted-sender"]
    if not found:
        return ""
    number = len({machine.recipient for machine in found})
    verb = "does not" if number == 1 else "do not"
    who = hosts(machine.host for machine in found)
    return (
        f"{count(number, 'agent')} {verb} trust you ({who}); add to their configuration:\n"
        f'[bundle]\ntrusted_senders = ["{key.line}"]'
    )


def refused(machines: Iterable[KnownMachine]) -> str:
    """Say which agents refused for another reason, by reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for machine in machines:
        if machine.state == REFUSED and machine.code != "untrusted-sender":
            reasons.setdefault((machine.code, machine.hint), []).append(machine.host)
    return "; ".join(f"{hosts(names)} refused: {code}. {hint}".strip() for (code, hint), names in reasons.items())


def distrusted(machines: Iterable[KnownMachine]) -> str:
    """Say whose announced key is not used."""
    found = [machine for machine in machines if machine.state == DISTRUSTED]
    reasons = {machine.code: machine.hint for machine in found}
    return "; ".join(
        f"NOT sent to {hosts(machine.host for machine in found if machine.code == code)} ({code}): {why}"
        for code, why in reasons.items()
    )


def silent(machines: Iterable[KnownMachine]) -> str:
    """Say who does not answer."""
    found = [machine.host for machine in machines if machine.state == SILENT]
    return f"no answer from {hosts(found)}; trying again" if found else ""


def without_resident(addresses: Iterable[str]) -> str:
    """Say where forwarding could not be installed."""
    found = sorted(addresses)
    return f"{hosts(found)}: forwarding could not be installed there; see the log of that process" if found else ""


def served(machines: Iterable[KnownMachine], what: Iterable[str]) -> str:
    """Say what reached how many."""
    found = [machine for machine in machines if machine.state == ADMITTED]
    processes = sum(len(machine.addresses) for machine in found)
    number = len({machine.recipient for machine in found})
    where = f"{count(number, 'machine')} ({count(processes, 'process').replace('processs', 'processes')})"
    return f"forwarded to {where}: {'; '.join(what)}"


def progress(done: int, total: int, doing: str) -> str:
    """Say how far something is that takes longer than two seconds."""
    return f"{doing} {done} of {total}"
