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
    """What a slot hands out. PREPARE: nothing yet, and the machine's identity is fetched for when it may be."""

    GRANT = "grant"
    KEEP = "keep"
    MACHINE = "machine"
    PREPARE = "prepare"
    NOTHING = "nothing"


class Situation(Struct, frozen=True, kw_only=True):
    """All that the choice depends on.

    `statement`: of the bundle in force; None where no bundle was ever in force.
    `grant_lost`: the grant expired, or an attempt to use it failed and nothing of it is held.
    `earlier_grant`: *unavailable*, but an earlier bundle's grant for the slot is kept.
    `holds`: credentials that are valid now are held, whatever their source.
    `content_refused`: the present content of a pull channel is refused.
    `awaited`: a bundle was in force before the start, and nobody knows yet what it says of the slot.
    `unlooked`: no bundle is in force, and a channel that may bring one has not been looked at. See `decide`.
    """

    statement: Statement | None
    fallback: Fallback
    grant_lost: bool = False
    earlier_grant: bool = False
    holds: bool = False
    content_refused: bool = False
    awaited: bool = False
    unlooked: bool = False


class Decision(Struct, frozen=True):
    """What to use, whether people have to hear of it (`loud`), and whether what is kept is also renewed."""

    use: Use
    loud: bool = False
    renew: bool = True


def decide(situation: Situation) -> Decision:
    """Return what the slot uses. Every cell of the table has a test that is named after it.

    The table is for a slot that is resolved. As long as it is not known what there is to go by, nothing is lost and
    nothing is absent: what is held stays, and nothing new is handed out.
    """
    statement = situation.statement
    if statement is Statement.WITHDRAWN:
        return Decision(Use.NOTHING)
    if situation.awaited or situation.unlooked:
        return _unresolved(situation)
    if not situation.grant_lost and (
        statement is Statement.GRANTED or (statement is Statement.UNAVAILABLE and situation.earlier_grant)
    ):
        return Decision(Use.GRANT)
    if situation.content_refused:
        return _beside_refused_content(statement, situation)
    return _without_grant(statement, situation)


def _unresolved(situation: Situation) -> Decision:
    if situation.holds:
        return Decision(Use.KEEP)
    may_be_the_machines = not situation.awaited and situation.fallback is not Fallback.NEVER
    return Decision(Use.PREPARE if may_be_the_machines else Use.NOTHING)


def _beside_refused_content(statement: Statement | None, situation: Situation) -> Decision:
    """Refused content closes a slot that holds nothing. It keeps nothing that would end without it, or not be renewed.

    Else whoever can spoil a channel could keep the machine's identity alive where the table ends it.
    """
    if not situation.holds:
        return Decision(Use.NOTHING, loud=True)
    otherwise = _without_grant(statement, situation)
    if statement is Statement.GRANTED and otherwise.use is Use.NOTHING:
        return otherwise
    return Decision(Use.KEEP, loud=otherwise.loud, renew=otherwise.renew)


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
