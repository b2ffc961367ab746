"""Two forwarders of one cluster: when one gives way to the other. No I/O; see ADR-01 for the reasons.

Nothing is announced by forwarders, so nothing can be forged: what counts is what machines answer when they are asked,
and of them only those whose key was judged and is trusted. Between two bundles the agents decide.
"""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from credagent.forwarder.known_machines import Machine

ENDED, WITHDRAWN = "ended", "withdrawn"


class Forwarder(Struct, frozen=True, kw_only=True):
    """A forwarder as machines know it. `name` is that of its client in the scheduler, `sender` its key's id.

    `how_ended`: empty while it is at work, else ENDED or WITHDRAWN.
    """

    name: str = ""
    sender: str = ""
    how_ended: str = ""

    def is_of_the_process_of(self, other: "Forwarder") -> bool:
        """Tell whether one process began both: all but the last part of a name is the process's own (`loop`)."""
        return self.sender == other.sender and self.name.rpartition("-")[0] == other.name.rpartition("-")[0] != ""


def successor(machines: Iterable[Machine], own: Forwarder) -> Forwarder | None:
    """Return the forwarder that more than half of the trusted machines follow instead of `own`; None for nobody.

    With another sender key: its bundle has replaced a confirmed one. With the same key, which admits no comparison of
    bundles: it has installed itself there after `own` did. A key that several hosts claim is one vote, and is for
    another forwarder only if all of them say so.
    """
    votes: dict[str, set[Forwarder | None]] = {}
    for machine in machines:
        if machine.trusted is not None:
            votes.setdefault(machine.report.recipient, set()).add(_followed(machine, own))
    followed = Counter(next(iter(vote)) for vote in votes.values() if len(vote) == 1)
    followed.pop(None, None)
    other, count = max(followed.items(), key=lambda entry: entry[1], default=(None, 0))
    return other if 2 * count > len(votes) else None


def installed(machines: Iterable[Machine]) -> Forwarder | None:
    """Return the forwarder that most trusted machines know as the last that installed itself; None for nobody."""
    known = Counter(_installed(machine) for machine in machines if machine.trusted is not None)
    known.pop(None, None)
    return max(known, key=lambda found: known[found], default=None)


def _followed(machine: Machine, own: Forwarder) -> Forwarder | None:
    if machine.replaced_by not in ("", own.sender):
        return Forwarder(sender=machine.replaced_by)
    found = _installed(machine)
    return found if found is not None and found.sender == own.sender and found.name != own.name else None


def _installed(machine: Machine) -> Forwarder | None:
    report = machine.report
    if not report.forwarder:
        return None
    return Forwarder(name=report.forwarder, sender=report.forwarder_sender, how_ended=report.forwarder_ended)
