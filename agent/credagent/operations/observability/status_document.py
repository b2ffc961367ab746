"""The status document (`status --json`) and the readiness behind it, as pure functions of a snapshot.

The document's fields are stable; `null` means unknown. Texts for people are made from it by the command line.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import Struct

from credagent.credentials import Held, Slot, SlotContent, Statement, Variables, filled, origin_of
from credagent.slots.refusal_log import Refusal
from credagent.slots.source_state import SourceFailure

VERSION = 1
LONGEST_TEXT = 500  # characters of a text that a sender, a cloud or a refused bundle may have chosen
MOST_REFUSALS = 20
MOST_WORKERS = 4_096  # as many as the agent has descriptors for


class State(str, Enum):
    """How the agent as a whole is doing."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class SlotSnapshot(Struct, frozen=True, kw_only=True):
    """One slot at one moment.

    `because`: what it uses, and the chain of reasons. `falls_back_to`: what it would use without its grant (a `Use`).
    `loud`: it does not get what was meant for it. `life_passed`: the share of the life of a session that only its
    sender can renew, of which people were warned; 0 for any other.
    """

    content: SlotContent
    tried: bool
    statement: Statement | None = None
    renew_at: datetime | None = None
    renewable: bool = False
    required: bool = False
    handover: str = "environment"
    failure: SourceFailure | None = None
    fallback: str = "absent"
    falls_back_to: str = "nothing"
    because: tuple[str, ...] = ()
    loud: bool = False
    life_passed: float = 0.0


class BundleSnapshot(Struct, frozen=True, kw_only=True):
    """The bundle in force. `sender_name`: as the configuration has it, else as a cloud attests it, else ""."""

    bundle_id: str
    sender: str
    sender_name: str = ""
    sequence: int
    issued_at: datetime
    not_after: datetime
    channel: str


class WorkerSnapshot(Struct, frozen=True, kw_only=True):
    """A process that has subscribed, and the generation it reported last."""

    pid: int
    uid: int
    role: str
    generation: int | None
    since: datetime


class RefusalSnapshot(Struct, frozen=True, kw_only=True):
    """A user who may not ask the agent and did: how often since it started, and when last."""

    uid: int
    count: int
    at: datetime


class AgentSnapshot(Struct, frozen=True, kw_only=True):
    """The agent's own process.

    `configured_at`: when it read the configuration that is in force; `needs_restart`: keys that wait for a restart.
    `clock_skew_s`: the cloud's clock minus this machine's; None where no service has said its time. Memory is None
    where nobody measured it.
    """

    version: str
    pid: int
    uptime_s: float
    configured_at: datetime | None = None
    needs_restart: tuple[str, ...] = ()
    clock_skew_s: float | None = None
    rss_bytes: int | None = None
    uss_bytes: int | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything that status shows, at one moment. `since`: the agent runs; `state_since`: its state is the present."""

    now: datetime
    since: datetime
    state_since: datetime | None = None
    generation: int
    audience: str
    public_key: str | None
    key_id: str | None = None
    slots: Mapping[Slot, SlotSnapshot]
    agent: AgentSnapshot
    bundle: BundleSnapshot | None = None
    bundle_required: bool = False
    min_validity: timedelta = timedelta(seconds=10)
    refused: tuple[Refusal, ...] = ()
    standing_errors: tuple[str, ...] = ()
    workers: tuple[WorkerSnapshot, ...] = ()
    refused_callers: tuple[RefusalSnapshot, ...] = ()


def state(snapshot: Snapshot) -> State:
    """Return the agent's state: an untried slot, then an empty required one, then a standing error decide."""
    if not all(slot.tried for slot in snapshot.slots.values()):
        return State.STARTING
    if snapshot.bundle_required and snapshot.bundle is None:
        return State.UNAVAILABLE
    for slot in snapshot.slots.values():
        if slot.required and not filled(slot.content, snapshot.now, snapshot.min_validity):
            return State.UNAVAILABLE
    errors = any(slot.failure is not None and not slot.failure.quiet for slot in snapshot.slots.values())
    return State.DEGRADED if errors or snapshot.standing_errors else State.READY


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the status document as plain JSON values."""
    return {
        "version": VERSION,
        "state": state(snapshot).value,
        "generation": snapshot.generation,
        "audience": snapshot.audience,
        "since": text(snapshot.since),
        "state_since": text(snapshot.state_since),
        "public_key": snapshot.public_key,
        "key_id": snapshot.key_id,
        "slots": {slot.value: _slot(slot, snapshot.slots[slot]) for slot in Slot},
        "bundle": _bundle(snapshot),
        "problems": sorted(set(snapshot.standing_errors)),
        "workers": [
            {"pid": w.pid, "uid": w.uid, "role": w.role, "generation": w.generation, "since": text(w.since)}
            for w in snapshot.workers[:MOST_WORKERS]
        ],
        "refused_callers": [
            {"uid": one.uid, "count": one.count, "at": text(one.at)} for one in snapshot.refused_callers
        ],
        "agent": {
            "version": snapshot.agent.version,
            "pid": snapshot.agent.pid,
            "configured_at": text(snapshot.agent.configured_at),
            "needs_restart": list(snapshot.agent.needs_restart),
            "clock_skew_s": snapshot.agent.clock_skew_s,
            "rss_bytes": snapshot.agent.rss_bytes,
            "uss_bytes": snapshot.agent.uss_bytes,
            "uptime_s": round(snapshot.agent.uptime_s, 3),
        },
    }


def _slot(slot: Slot, shown: SlotSnapshot) -> dict[str, Any]:
    held = shown.content if isinstance(shown.content, Held) else None
    failure = shown.failure
    fields: dict[str, Any] = {
        "origin": origin_of(shown.content),
        "statement": shown.statement.value if shown.statement else None,
        "principal": (shortened(held.principal) or None) if held else None,
        "expires_at": text(held.expires_at) if held else None,
        "renew_at": text(shown.renew_at),
        "renewable": shown.renewable,
        "required": shown.required,
        "handover": shown.handover,
        "obtained_at": text(held.obtained_at) if held else None,
        "fallback": shown.fallback,
        "falls_back_to": shown.falls_back_to if shown.falls_back_to == "machine" else "nothing",
        "because": list(shown.because),
        "lost": shown.loud,
        "life_passed": shown.life_passed,
        "last_error": None,
    }
    if failure is not None:
        fields["last_error"] = {
            "code": failure.code,
            "message": shortened(failure.message),
            "hint": shortened(failure.hint),
            "at": text(failure.at),
            "failures": failure.failures,
        }
    if slot is Slot.ENVIRONMENT:
        variables = held.credentials if held else None
        fields["names"] = sorted(variables.values) if isinstance(variables, Variables) else []
    return fields


def _bundle(snapshot: Snapshot) -> dict[str, Any]:
    bundle = snapshot.bundle
    fields: dict[str, Any] = dict.fromkeys(
        ("bundle_id", "sender", "sender_name", "sequence", "issued_at", "not_after", "channel")
    )
    if bundle is not None:
        fields = {
            "bundle_id": shortened(bundle.bundle_id),
            "sender": bundle.sender,
            "sender_name": shortened(bundle.sender_name) or None,
            "sequence": bundle.sequence,
            "issued_at": text(bundle.issued_at),
            "not_after": text(bundle.not_after),
            "channel": shortened(bundle.channel),
        }
    fields["refused"] = [
        {
            "code": shortened(r.code),
            "at": text(r.at),
            "channel": shortened(r.channel),
            "message": shortened(r.message),
            "hint": shortened(r.hint),
        }
        for r in snapshot.refused[-MOST_REFUSALS:]
    ]
    return fields


def shortened(words: str) -> str:
    """Return a text that somebody else chose, cut where it would make the document more than its readers take."""
    return words if len(words) <= LONGEST_TEXT else words[: LONGEST_TEXT - 1] + "…"


def text(moment: datetime | None) -> str | None:
    """Return a time as the document spells it: UTC, whole seconds, `Z`."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
