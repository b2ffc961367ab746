"""The decision of the precedence table in words: a chain in which each sentence is the reason for the one before.

The rules are `precedence`'s; nothing is decided here. Not on the path of a start.
"""

from collections.abc import Iterator
from typing import assert_never

from msgspec import structs

from credagent.credentials import Statement
from credagent.slots.precedence import Decision, Fallback, Situation, Use, decide

_OUTCOMES = {
    Use.GRANT: "workers get what the bundle grants",
    Use.KEEP: "workers keep what they have",
    Use.MACHINE: "workers get this machine's own identity, where it has one",
    Use.PREPARE: "workers get nothing yet",
    Use.NOTHING: "workers get nothing",
}


def because(situation: Situation, *, forbidden: bool = False) -> tuple[str, ...]:
    """Return what a slot uses, and the reasons down to a fact that somebody could change.

    `forbidden`: the configuration does not let the grant use the machine's identity in this way.
    """
    decision = decide(situation)
    return (_OUTCOMES[decision.use], *_reasons(situation, decision, forbidden=forbidden))


def falls_back_to(situation: Situation) -> Use:
    """Return what the slot would use if its grant were lost now."""
    return decide(structs.replace(situation, grant_lost=True, holds=False, earlier_grant=False)).use


def _reasons(situation: Situation, decision: Decision, *, forbidden: bool) -> Iterator[str]:
    """Yield the rule, then the fact that it applies to."""
    statement = situation.statement
    if statement is Statement.WITHDRAWN:
        yield "what is withdrawn falls back to nothing, whatever `fallback` says"
        yield "its sender has taken it back, or is no longer trusted"
    elif situation.awaited or situation.unlooked:
        yield from _unresolved(situation, decision)
    elif decision.use is Use.GRANT:
        yield "a grant wins over this machine's own identity"
        yield (
            "its sender has nothing for it at the moment, and what it granted before is still good"
            if statement is Statement.UNAVAILABLE
            else "the bundle in force grants it"
        )
    elif situation.content_refused and situation.holds and decision.use is Use.KEEP:
        yield "a refused bundle takes nothing away"
        yield "what a channel holds now is refused"
    elif situation.content_refused and not situation.holds:
        yield "a refused bundle does not open the way to this machine's own identity"
        yield "what a channel holds now is refused, and nothing was held before"
    else:
        yield _fallback(situation, decision)
        yield _fact(statement, forbidden=forbidden)


def _unresolved(situation: Situation, decision: Decision) -> Iterator[str]:
    match decision.use:
        case Use.KEEP:
            yield "until it is known what a bundle says of the slot, what is held stays"
        case Use.PREPARE:
            yield "until it is known what a bundle says, this machine's own identity is fetched and not handed out"
        case _:
            yield "until it is known what a bundle says of the slot, nothing new is handed out"
    if situation.awaited:
        yield "a key service has yet to open the bundle that was in force"
    else:
        yield "a channel that may bring a bundle has not been looked at yet"


def _fact(statement: Statement | None, *, forbidden: bool) -> str:
    match statement:
        case None:
            return "no bundle was ever in force here"
        case Statement.DECLINED:
            return "the bundle in force declines it"
        case Statement.UNAVAILABLE:
            return "its sender granted it before, and has nothing for it at the moment"
        case Statement.GRANTED if forbidden:
            return "the bundle grants it by way of this machine's identity, for a target that is not listed"
        case Statement.GRANTED:
            return "what the bundle grants has expired, or cannot be had"
        case Statement.WITHDRAWN:
            return "its sender has taken it back, or is no longer trusted"
        case _:
            assert_never(statement)


def _fallback(situation: Situation, decision: Decision) -> str:
    said = f'`fallback` is "{situation.fallback.value}"'
    was_granted = situation.statement in (Statement.GRANTED, Statement.UNAVAILABLE)
    if decision.use is Use.KEEP:
        return "what is held stays until it ends"
    if decision.use is Use.MACHINE:
        return f"{said}: " + ("a grant that was lost may fall back to it" if was_granted else "it may be used")
    if situation.fallback is Fallback.NEVER:
        return f"{said}: this machine's own identity is never used"
    return f"{said}: a slot that was granted does not become the machine's"
