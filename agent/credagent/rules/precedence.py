"""Which source a slot uses: the precedence table as one pure function. No clock, no fetching, no wording for people.

Absent is not broken. A slot for which nobody ever sent anything may use the machine's own identity; a slot that was
granted and lost its credentials does so only where the configuration says `fallback = "expired"`.
"""

from enum import Enum
from typing import assert_never

from msgspec import Struct

from credagent.credentials import Statement


class Fallback(str, Enum):
    """How far a slot may fall back to the machine's own identity (`fallback` in the configuration)."""

    ABSENT = "absent"
    EXPIRED = "expired"
    NEVER = "never"


class Use(Enum):
    """What a slot hands out."""

    GRANT = "grant"
    KEEP = "keep"
    MACHINE = "machine"
    NOTHING = "nothing"


class Situation(Struct, frozen=True, kw_only=True):
    """All that the choice depends on.

    `statement`: of the bundle in force; None where no bundle was ever in force.
    `grant_lost`: the grant expired, or an attempt to use it failed and nothing of it is held.
    `earlier_grant`: *unavailable*, but an earlier bundle's grant for the slot is kept.
    `holds`: credentials that are valid now are held, whatever their source.
    `content_refused`: the present content of a pull channel is refused.
    `awaited`: a bundle was in force before the start, and nobody knows yet what it says of the slot.
    """

    statement: Statement | None
    fallback: Fallback
    grant_lost: bool = False
    earlier_grant: bool = False
    holds: bool = False
    content_refused: bool = False
    awaited: bool = False


class Decision(Struct, frozen=True):
    """What to use, whether people have to hear of it (`loud`), and whether what is kept is also renewed."""

    use: Use
    loud: bool = False
    renew: bool = True


def decide(situation: Situation) -> Decision:
    """Return what the slot uses. Every cell of the table has a test that is named after it."""
    statement = situation.statement
    if statement is Statement.WITHDRAWN:
        return Decision(Use.NOTHING)
    if situation.awaited:  # nothing is lost yet, and nothing may be taken for absent
        return Decision(Use.KEEP) if situation.holds else Decision(Use.NOTHING)
    if not situation.grant_lost and (
        statement is Statement.GRANTED or (statement is Statement.UNAVAILABLE and situation.earlier_grant)
    ):
        return Decision(Use.GRANT)
    if situation.content_refused:
        return Decision(Use.KEEP) if situation.holds else Decision(Use.NOTHING, loud=True)
    return _without_grant(statement, situation)


def _without_grant(statement: Statement | None, situation: Situation) -> Decision:
    match statement:
        case None | Statement.DECLINED:
            return Decision(Use.NOTHING if situation.fallback is Fallback.NEVER else Use.MACHINE)
        case Statement.UNAVAILABLE if situation.holds and situation.fallback is not Fallback.EXPIRED:
            return Decision(Use.KEEP, renew=False)  # with EXPIRED it is the machine's identity, and goes on
        case Statement.GRANTED | Statement.UNAVAILABLE:
            return Decision(Use.MACHINE if situation.fallback is Fallback.EXPIRED else Use.NOTHING, loud=True)
        case Statement.WITHDRAWN:
            return Decision(Use.NOTHING)
        case _:
            assert_never(statement)
