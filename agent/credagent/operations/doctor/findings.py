"""A finding: what is wrong, why that matters, and what to type. What is only an echo of another is data here."""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

Level = Literal["warning", "error"]


class Finding(Struct, frozen=True, kw_only=True):
    """One fault. `level` error: tasks lack an identity, or have another than was meant; warning: they soon may.

    `code` is stable. `found`, `why` and `remedy` are a sentence each; what is to be typed stands in backticks.
    `subject`: the slot, channel, path or process that it is about, "" for the whole node.
    """

    check: str
    level: Level
    code: str
    found: str
    why: str
    remedy: str
    subject: str = ""


class Area(Struct, frozen=True):
    """What several checks are about, a slot or a part of the node: it makes the findings whose `check` is `name`."""

    name: str

    def error(self, code: str, found: str, why: str, remedy: str, *, subject: str = "") -> Finding:
        """Return a finding for which tasks lack an identity, or have another than was meant."""
        return self.finding("error", code, found, why, remedy, subject=subject)

    def warning(self, code: str, found: str, why: str, remedy: str, *, subject: str = "") -> Finding:
        """Return a finding for which tasks soon may lack their identity."""
        return self.finding("warning", code, found, why, remedy, subject=subject)

    def finding(self, level: Level, code: str, found: str, why: str, remedy: str, *, subject: str = "") -> Finding:
        """Return a finding whose level the check has judged."""
        return Finding(check=self.name, level=level, code=code, found=found, why=why, remedy=remedy, subject=subject)


class Note(Struct, frozen=True, kw_only=True):
    """Something that was looked at, and is worth a line although nothing is wrong with it."""

    check: str
    found: str


TIME_BOUND = frozenset(
    {"from-the-future", "expired", "too-old", "not-after", "clock-skew", "expiry-past", "tls-failed"}
)
"""What a wrong clock makes of sound bundles and credentials."""

ECHOES: Mapping[str, frozenset[str]] = {
    # Without an agent there is nothing else to be said of what it does.
    "unit-masked": frozenset({"no-agent", "unit-not-enabled", "env-file-missing"}),
    "agent-stopped": frozenset({"agent-hangs", "no-agent", "worker-stopped"}),
    "configuration-broken": frozenset({"no-agent", "reload-failed", "configuration-not-loaded"}),
    "port-taken": frozenset({"no-agent", "start-failed"}),
    "no-agent": frozenset({"unit-not-enabled", "env-file-missing", "worker-without-preload"}),
    # A full folder is written to by the agent, and by whoever delivers.
    "folder-full": frozenset({"not-written", "start-failed", "env-file-missing", "no-agent"}),
    "clock-ahead": TIME_BOUND | {"session-ending", "required-slot-empty"},
    "clock-behind": TIME_BOUND | {"required-slot-empty"},
    "interception-missing": frozenset({"container-reaches-metadata"}),
}
"""Of each code, the codes of findings that are nothing but its consequences."""

ECHOES_OF_THE_SUBJECT: Mapping[str, frozenset[str]] = {
    "folder-mode": frozenset({"folder-full"}),
}
"""The same, where both are about the same subject."""


def without_echoes(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings, the gravest first, without those that follow from another.

    What the agent says of itself by a code alone follows from the finding of that code which says where.
    """
    found = list(found)
    of_node = frozenset[str]().union(*(ECHOES.get(one.code, frozenset()) for one in found))
    placed = {one.code for one in found if one.subject}
    of_subject = {(code, one.subject) for one in found for code in ECHOES_OF_THE_SUBJECT.get(one.code, ())}
    kept = [
        one
        for one in found
        if one.code not in of_node
        and (one.code, one.subject) not in of_subject
        and (one.subject or one.code not in placed)
    ]
    return sorted(kept, key=lambda one: one.level != "error")


def healthy(found: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong now; a warning is not."""
    return all(one.level != "error" for one in found)
