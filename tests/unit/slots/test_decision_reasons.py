"""The precedence table in words: every situation has a chain, and the chain says what is done."""

import itertools

import pytest

from credagent.credentials import Statement
from credagent.slots.decision_reasons import because, falls_back_to
from credagent.slots.precedence import Fallback, Situation, Use, decide

FLAGS = ("grant_lost", "earlier_grant", "holds", "content_refused", "awaited", "unlooked")
BEGINS = {
    Use.GRANT: "workers get what the bundle grants",
    Use.KEEP: "workers keep",
    Use.MACHINE: "workers get this machine's own identity",
    Use.PREPARE: "workers get nothing yet",
    Use.NOTHING: "workers get nothing",
}


def every_situation() -> list[Situation]:
    return [
        Situation(statement=statement, fallback=fallback, **dict(zip(FLAGS, flags, strict=True)))
        for statement in (None, *Statement)
        for fallback in Fallback
        for flags in itertools.product((False, True), repeat=len(FLAGS))
    ]


def test_every_situation_has_an_outcome_that_is_the_decision_and_at_least_one_reason() -> None:
    for situation in every_situation():
        outcome, *reasons = because(situation)
        assert outcome.startswith(BEGINS[decide(situation).use])
        assert reasons


def test_nobody_reads_that_a_grant_is_used_where_it_is_not() -> None:
    for situation in every_situation():
        chain = " ".join(because(situation))
        assert ("a grant wins" in chain) is (decide(situation).use is Use.GRANT)
        assert ("may fall back to it" in chain or "it may be used" in chain) <= (decide(situation).use is Use.MACHINE)


@pytest.mark.parametrize(
    ("situation", "chain"),
    [
        (
            Situation(statement=Statement.GRANTED, fallback=Fallback.ABSENT, grant_lost=True),
            (
                "workers get nothing",
                '`fallback` is "absent": a slot that was granted does not become the machine\'s',
                "what the bundle grants has expired, or cannot be had",
            ),
        ),
        (
            Situation(statement=Statement.GRANTED, fallback=Fallback.EXPIRED, grant_lost=True),
            (
                "workers get this machine's own identity, where it has one",
                '`fallback` is "expired": a grant that was lost may fall back to it',
                "what the bundle grants has expired, or cannot be had",
            ),
        ),
        (
            Situation(statement=None, fallback=Fallback.ABSENT),
            (
                "workers get this machine's own identity, where it has one",
                '`fallback` is "absent": it may be used',
                "no bundle was ever in force here",
            ),
        ),
        (
            Situation(statement=None, fallback=Fallback.NEVER),
            (
                "workers get nothing",
                '`fallback` is "never": this machine\'s own identity is never used',
                "no bundle was ever in force here",
            ),
        ),
        (
            Situation(statement=None, fallback=Fallback.ABSENT, content_refused=True),
            (
                "workers get nothing",
                "a refused bundle does not open the way to this machine's own identity",
                "what a channel holds now is refused, and nothing was held before",
            ),
        ),
    ],
)
def test_what_a_person_reads(situation: Situation, chain: tuple[str, ...]) -> None:
    assert because(situation) == chain


def test_a_target_that_is_not_listed_is_said() -> None:
    situation = Situation(statement=Statement.GRANTED, fallback=Fallback.ABSENT, grant_lost=True)
    assert "not listed" in because(situation, forbidden=True)[-1]


@pytest.mark.parametrize(
    ("fallback", "use"),
    [(Fallback.ABSENT, Use.NOTHING), (Fallback.EXPIRED, Use.MACHINE), (Fallback.NEVER, Use.NOTHING)],
)
def test_what_a_granted_slot_would_fall_back_to(fallback: Fallback, use: Use) -> None:
    assert falls_back_to(Situation(statement=Statement.GRANTED, fallback=fallback, holds=True)) is use
