"""A forwarding's status: the values, and how people see them: a table as text and as HTML, and one line.

Texts come from the machines of a cluster: they are escaped here, whatever was done to them before.
"""

from collections.abc import Iterable
from datetime import datetime
from html import escape

from msgspec import Struct

from credagent.bundle.timestamps import text_of
from credagent.forwarder.known_machines import MachineState
from credagent.forwarder.validity_after_withdrawal import FOR_EVER

HEADINGS = ("machine", "state", "processes", "confirmed", "what to do", "believed because")
SHOWN_IN_A_LINE = 3


class MachineStatus(Struct, frozen=True, kw_only=True):
    """One machine: whether its agent has the credentials, else why not.

    After a withdrawal `taken_back` names the slots that its agent has confirmed to have given up; none: it has not, and
    may go on. `usable_until`: so long may a client that runs there go on with what this forwarding had handed out, the
    end of time for a long-term key; None: it had nothing that expires. `ground`: what its cloud says of its key, where
    that is why it is believed.
    """

    host: str
    key_id: str
    state: str
    code: str
    hint: str
    processes: int
    confirmed_at: datetime | None
    taken_back: tuple[str, ...] = ()
    usable_until: datetime | None = None
    ground: str = ""


class ForwardingStatus(Struct, frozen=True, kw_only=True):
    """How forwarding is at one moment.

    `state`: starting, forwarding, reconnecting, standing-by, stopped, withdrawn, replaced, failed, own.
    `identity`: whose it is, as the clouds name it. Shown as a table, as text and in notebooks.
    """

    state: str
    sender_key: str
    identity: str = ""
    expires_at: datetime | None = None
    machines: tuple[MachineStatus, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return it for people."""
        return as_text(self)

    __repr__ = __str__  # what a prompt shows

    def _repr_html_(self) -> str:
        """Return it for a notebook."""
        return as_html(self)


def as_text(status: ForwardingStatus) -> str:
    """Return a heading, and a table of the machines and of what answers for none."""
    rows = _rows(status)
    if not rows:
        return _heading(status)
    headings = HEADINGS[: len(rows[0])]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (headings, *rows))
    return "\n".join([_heading(status), *(f"  {line}" for line in lines)])


def as_html(status: ForwardingStatus) -> str:
    """Return the same as a fragment of HTML, every text escaped."""
    found = _rows(status)
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS[: len(found[0]) if found else 0])
    rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in found)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    return f"<div><p><b>credagent</b>: {escape(_heading(status))}</p>{table}</div>"


def as_line(status: ForwardingStatus) -> str:
    """Return who forwards, to how many machines, until when, and what is wrong with which."""
    served = sum(machine.state == MachineState.ADMITTED.value for machine in status.machines)
    said = f"{_heading(status)}, on {served} of {len(status.machines)} machines"
    wrong = [f"{row[0]}: {row[1]}" for row in _rows(status) if row[1] != MachineState.ADMITTED.value]
    more = f" and {len(wrong) - SHOWN_IN_A_LINE} more" if len(wrong) > SHOWN_IN_A_LINE else ""
    return f"{said}; {', '.join(wrong[:SHOWN_IN_A_LINE])}{more}" if wrong else said


def _heading(status: ForwardingStatus) -> str:
    identity = f" {status.identity}" if status.identity else ""
    until = f", credentials until {text_of(status.expires_at)}" if status.expires_at else ""
    return f"{status.state}{identity}{until}"


def _rows(status: ForwardingStatus) -> list[tuple[str, ...]]:
    """Return a row for each machine and fault; the last column only where somebody has something in it."""
    rows = [*map(_row, status.machines), *_fault_rows(status.faults)]
    return rows if any(row[-1] for row in rows) else [row[:-1] for row in rows]


def _row(machine: MachineStatus) -> tuple[str, ...]:
    state = " ".join(filter(None, (machine.state, machine.code)))
    confirmed = text_of(machine.confirmed_at) if machine.confirmed_at is not None else ""
    told = [machine.hint] if machine.hint else []
    if machine.taken_back:
        told.append(f"taken back: {', '.join(machine.taken_back)}")
    if machine.usable_until is not None:
        until = "you delete the key" if machine.usable_until == FOR_EVER else text_of(machine.usable_until)
        told.append(f"a client that runs there already may go on until {until}")
    return machine.host, state, str(machine.processes), confirmed, " ".join("; ".join(told).split()), machine.ground


def _fault_rows(faults: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    remedies = {"no-agent": "install credagent there, or start its processes through `credagent exec`"}
    return [(host, fault, "", "", remedies.get(fault, ""), "") for host, fault in faults]
