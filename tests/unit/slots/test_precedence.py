"""Every cell of the precedence table, each as one test."""

import pytest

from credagent.credentials import Statement
from credagent.slots.precedence import Decision, Fallback, Situation, Use, decide

MACHINE = Decision(Use.MACHINE)
MACHINE_LOUDLY = Decision(Use.MACHINE, loud=True)
NOTHING = Decision(Use.NOTHING)
NOTHING_LOUDLY = Decision(Use.NOTHING, loud=True)
GRANT = Decision(Use.GRANT)
KEPT = Decision(Use.KEEP)
KEPT_AS_IT_IS = Decision(Use.KEEP, renew=False)
KEPT_LOUDLY = Decision(Use.KEEP, loud=True)
PREPARED = Decision(Use.PREPARE)

ROWS: dict[str, tuple[dict[str, object], tuple[Decision, Decision, Decision]]] = {
    "no bundle was ever in force": ({"statement": None}, (MACHINE, MACHINE, NOTHING)),
    "the bundle says declined": ({"statement": Statement.DECLINED}, (MACHINE, MACHINE, NOTHING)),
    "granted, held or not tried yet": ({"statement": Statement.GRANTED}, (GRANT, GRANT, GRANT)),
    "granted, and expired or not to be had": (
        {"statement": Statement.GRANTED, "grant_lost": True},
        (NOTHING_LOUDLY, MACHINE_LOUDLY, NOTHING_LOUDLY),
    ),
    "unavailable, while the earlier grant is held": (
        {"statement": Statement.UNAVAILABLE, "earlier_grant": True},
        (GRANT, GRANT, GRANT),
    ),
    "unavailable, while something else is held": (
        {"statement": Statement.UNAVAILABLE, "holds": True},
        (KEPT_AS_IT_IS, MACHINE_LOUDLY, KEPT_AS_IT_IS),
    ),
    "unavailable, and the earlier grant is lost": (
        {"statement": Statement.UNAVAILABLE, "earlier_grant": True, "grant_lost": True},
        (NOTHING_LOUDLY, MACHINE_LOUDLY, NOTHING_LOUDLY),
    ),
    "unavailable, and nothing is held": (
        {"statement": Statement.UNAVAILABLE},
        (NOTHING_LOUDLY, MACHINE_LOUDLY, NOTHING_LOUDLY),
    ),
    "a channel has not been looked at, after a start": (
        {"statement": None, "unlooked": True},
        (PREPARED, PREPARED, NOTHING),
    ),
    "a channel has not been looked at, and another holds refused content": (
        {"statement": None, "unlooked": True, "content_refused": True},
        (PREPARED, PREPARED, NOTHING),
    ),
    "a channel has not been looked at, after a reload": (
        {"statement": None, "unlooked": True, "holds": True},
        (KEPT, KEPT, KEPT),
    ),
    "a channel has not been looked at, and a bundle of a removed sender is kept": (
        {"statement": Statement.WITHDRAWN, "unlooked": True, "holds": True},
        (NOTHING, NOTHING, NOTHING),
    ),
    "neither known yet, nor looked at": (
        {"statement": None, "unlooked": True, "awaited": True},
        (NOTHING, NOTHING, NOTHING),
    ),
    "not known yet, after a start": ({"statement": None, "awaited": True}, (NOTHING, NOTHING, NOTHING)),
    "not known yet, after a reload": ({"statement": None, "awaited": True, "holds": True}, (KEPT, KEPT, KEPT)),
    "not known yet, and its sender removed": (
        {"statement": Statement.WITHDRAWN, "awaited": True, "holds": True},
        (NOTHING, NOTHING, NOTHING),
    ),
    "withdrawn": ({"statement": Statement.WITHDRAWN}, (NOTHING, NOTHING, NOTHING)),
    "withdrawn, while something is held": (
        {"statement": Statement.WITHDRAWN, "holds": True},
        (NOTHING, NOTHING, NOTHING),
    ),
    "the present content is refused, while something is held": (
        {"statement": None, "content_refused": True, "holds": True},
        (KEPT, KEPT, KEPT),
    ),
    "the present content is refused, and nothing is held": (
        {"statement": None, "content_refused": True},
        (NOTHING_LOUDLY, NOTHING_LOUDLY, NOTHING_LOUDLY),
    ),
    "the present content is refused beside a grant in force": (
        {"statement": Statement.GRANTED, "content_refused": True},
        (GRANT, GRANT, GRANT),
    ),
    "the present content is refused, and the grant in force is lost": (
        {"statement": Statement.GRANTED, "content_refused": True, "grant_lost": True},
        (NOTHING_LOUDLY, NOTHING_LOUDLY, NOTHING_LOUDLY),
    ),
    "the present content is refused, the grant in force is lost, and the machine's identity is held": (
        {"statement": Statement.GRANTED, "content_refused": True, "grant_lost": True, "holds": True},
        (NOTHING_LOUDLY, KEPT_LOUDLY, NOTHING_LOUDLY),
    ),
    "the present content is refused, unavailable, and something else is held": (
        {"statement": Statement.UNAVAILABLE, "content_refused": True, "holds": True},
        (KEPT_AS_IT_IS, KEPT_LOUDLY, KEPT_AS_IT_IS),
    ),
    "the present content is refused after a withdrawal": (
        {"statement": Statement.WITHDRAWN, "content_refused": True, "holds": True},
        (NOTHING, NOTHING, NOTHING),
    ),
}


@pytest.mark.parametrize(("column", "fallback"), enumerate(Fallback))
@pytest.mark.parametrize("row", ROWS)
def test_the_cell_of_the_table(row: str, column: int, fallback: Fallback) -> None:
    """Each state of a slot leads to what the table says under each `fallback`."""
    facts, decisions = ROWS[row]
    assert decide(Situation(fallback=fallback, **facts)) == decisions[column]  # type: ignore[arg-type]  # rows are data


@pytest.mark.parametrize("fallback", Fallback)
@pytest.mark.parametrize("statement", [Statement.GRANTED, Statement.UNAVAILABLE])
def test_no_slot_slides_silently_to_the_machine(statement: Statement, fallback: Fallback) -> None:
    """What was granted once reaches the machine's identity only loudly, and only where the configuration says so."""
    for lost in (False, True):
        for earlier in (False, True):
            decision = decide(Situation(statement=statement, fallback=fallback, grant_lost=lost, earlier_grant=earlier))
            if decision.use is Use.MACHINE:
                assert decision.loud
                assert fallback is Fallback.EXPIRED
