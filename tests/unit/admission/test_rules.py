"""Which bundle takes force: the order of the checks, what is looked at again after a restart, and what never is.

The published vectors hold a case for each failure; here are the questions between them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.admission.rules import (
    AdmissionPolicy,
    AdmissionResult,
    InForce,
    ReplayMark,
    Standing,
    after_opening,
    before_opening,
    before_reopening,
)
from credagent.bundle import envelope, sealing
from credagent.bundle.contents import AwsAssumeRoleGrant, Bundle, Grant
from credagent.bundle.envelope import Envelope
from credagent.credentials import Slot, Statement
from credagent.errors import Refused
from tests.unit.bundle.published.recipe import (
    AUDIENCE,
    MACHINE,
    NOW,
    OTHER_SENDER,
    SENDER,
    aws_session,
    letter,
    variables,
)

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
POLICY = AdmissionPolicy(
    audience=AUDIENCE, trusted_senders=frozenset({SENDER.public_key.raw, OTHER_SENDER.public_key.raw})
)
MINE = SENDER.key_id


def _envelope(bundle: Bundle | None = None, sender: Any = SENDER) -> Envelope:
    return envelope.parse(sealing.seal(bundle or letter(), [MACHINE.public_key], sender))


def _force(sealed: Envelope) -> InForce:
    header = sealed.header
    return InForce(sender=header.sender, issued_at=header.issued_at, digest=sealed.digest)


def _judge(
    sealed: Envelope,
    *,
    policy: AdmissionPolicy = POLICY,
    marks: dict[str, ReplayMark] | None = None,
    in_force: InForce | None = None,
    now: datetime = NOW,
) -> Standing:
    return before_opening(sealed, policy, marks or {}, in_force, now)


def _code(judging: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        judging()
    assert refused.value.hint
    return refused.value.code


def _opened(*grants: Grant, policy: AdmissionPolicy = POLICY, own_key: bool = False, **changes: Any) -> AdmissionResult:
    bundle = letter(*grants, **changes)
    return after_opening(_envelope(bundle), bundle, policy, own_key=own_key)


def test_a_first_bundle_leaves_its_mark() -> None:
    sealed = _envelope()
    assert _judge(sealed) is Standing.NEW
    admitted = after_opening(sealed, letter(), POLICY, own_key=False)
    assert admitted.mark == ReplayMark(letter().sequence, sealed.digest)
    assert admitted.sender_id == MINE
    assert admitted.in_force == _force(sealed)
    assert admitted.bundle == letter()


def test_the_bundle_in_force_is_met_again_without_any_question_of_time() -> None:
    sealed = _envelope(letter(aws_session()))
    marks = {MINE: ReplayMark(sealed.header.sequence, sealed.digest)}
    for now in (NOW, NOW - DAY, NOW + 400 * DAY):
        assert _judge(sealed, marks=marks, in_force=_force(sealed), now=now) is Standing.AGAIN


def test_trust_and_audience_hold_for_the_bundle_in_force_too() -> None:
    sealed = _envelope()
    force = _force(sealed)
    stranger = replace(POLICY, trusted_senders=frozenset())
    moved = replace(POLICY, audience="cluster-b")
    assert _code(lambda: _judge(sealed, policy=stranger, in_force=force)) == "untrusted-sender"
    assert _code(lambda: _judge(sealed, policy=moved, in_force=force)) == "wrong-audience"
    assert _code(lambda: before_reopening(sealed, stranger)) == "untrusted-sender"
    assert _code(lambda: before_reopening(sealed, moved)) == "wrong-audience"
    before_reopening(sealed, POLICY)


def test_an_old_bundle_comes_back_neither_to_the_newer_nor_after_it() -> None:
    old, new = _envelope(), _envelope(letter(issued_at=NOW + SECOND))
    marks = {MINE: ReplayMark(new.header.sequence, new.digest)}
    assert _code(lambda: _judge(old, marks=marks, in_force=_force(new))) == "replayed"
    assert _code(lambda: _judge(old, marks=marks)) == "replayed"


def test_a_mark_of_another_sender_does_not_count() -> None:
    sealed = _envelope()
    assert _judge(sealed, marks={OTHER_SENDER.key_id: ReplayMark(2**52, "00" * 32)}) is Standing.NEW


def test_two_bundles_under_one_number_are_a_fork_whoever_comes_second() -> None:
    first, second = _envelope(), _envelope()
    for came, comes in ((first, second), (second, first)):
        marks = {MINE: ReplayMark(came.header.sequence, came.digest)}
        assert _code(lambda marks=marks, comes=comes: _judge(comes, marks=marks)) == "forked"  # type: ignore[misc]  # no type is inferred for a default of a lambda


def test_of_two_senders_the_later_wins_in_whatever_order_they_arrive() -> None:
    early, late = _envelope(), _envelope(letter(issued_at=NOW + SECOND), OTHER_SENDER)
    assert _judge(late, in_force=_force(early)) is Standing.NEW
    assert _code(lambda: _judge(early, in_force=_force(late))) == "superseded"


def test_a_later_bundle_of_a_sender_no_longer_trusted_does_not_stand_in_the_way() -> None:
    early, late = _envelope(), _envelope(letter(issued_at=NOW + SECOND), OTHER_SENDER)
    policy = replace(POLICY, trusted_senders=frozenset({SENDER.public_key.raw}))
    assert _judge(early, policy=policy, in_force=_force(late)) is Standing.NEW


def test_a_sender_whose_clock_fell_back_may_still_replace_its_own_bundle() -> None:
    before = _envelope(letter(issued_at=NOW))
    after = _envelope(letter(issued_at=NOW - HOUR, sequence=letter().sequence + 1))
    marks = {MINE: ReplayMark(before.header.sequence, before.digest)}
    assert _judge(after, marks=marks, in_force=_force(before)) is Standing.NEW


@pytest.mark.parametrize(
    ("age", "code"), [(timedelta(0), ""), (DAY, ""), (DAY + SECOND, "too-old"), (30 * DAY, "expired")]
)
def test_the_age_at_first_sight(age: timedelta, code: str) -> None:
    sealed = _envelope()
    if code:
        assert _code(lambda: _judge(sealed, now=NOW + age)) == code
    else:
        assert _judge(sealed, now=NOW + age) is Standing.NEW


def test_an_earlier_admission_spares_the_age_and_not_the_end() -> None:
    sealed = _envelope()
    marks = {MINE: ReplayMark(sealed.header.sequence, sealed.digest)}
    assert _judge(sealed, marks=marks, now=NOW + 3 * DAY) is Standing.NEW
    assert _code(lambda: _judge(sealed, marks=marks, now=NOW + 31 * DAY)) == "expired"


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(minutes=5, microseconds=1)])
def test_a_clock_may_be_five_minutes_ahead(ahead: timedelta) -> None:
    sealed = _envelope(letter(issued_at=NOW + ahead))
    if ahead == timedelta(minutes=5):
        assert _judge(sealed) is Standing.NEW
    else:
        assert _code(lambda: _judge(sealed)) == "from-the-future"


def test_without_an_audience_only_the_machines_own_key_counts() -> None:
    policy = replace(POLICY, audience="")
    assert _judge(_envelope(letter(audience="any")), policy=policy) is Standing.NEW
    assert _opened(policy=policy, own_key=True, audience="any").bundle.audience == "any"
    assert _code(lambda: _opened(policy=policy, audience="any")) == "audience-needed"


LONG_TERM = aws_session(session_token=None, expires_at=None)
BY_ROLE = AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", session=LONG_TERM)


@pytest.mark.parametrize("grant", [LONG_TERM, BY_ROLE])
def test_a_long_term_key_needs_to_be_named_wherever_it_hides(grant: Grant) -> None:
    assert _code(lambda: _opened(grant)) == "long-term-key"
    assert _opened(grant, policy=replace(POLICY, admit_long_term=True)).bundle.grants == (grant,)


def test_variables_are_named_in_the_refusal_and_their_values_are_not(canary: str) -> None:
    with pytest.raises(Refused) as refused:
        _opened(variables(LD_PRELOAD=canary, BASH_ENV=canary))
    assert refused.value.code == "denied-variable"
    assert "BASH_ENV, LD_PRELOAD" in refused.value.why
    assert canary not in f"{refused.value!r} {refused.value.hint}"


@pytest.mark.parametrize(
    "brought",
    [{"A" * 257: "x"}, {"A": "ä" * 16_385}],
    ids=["name", "value"],
)
def test_what_is_longer_than_an_environment_carries_is_refused_by_its_name_alone(brought: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        _opened(variables(**brought))
    assert refused.value.code == "malformed-variable"
    assert len(refused.value.why) < 400
    assert "32 KiB" in refused.value.hint


def test_a_machine_may_admit_the_variables_that_it_lists_and_no_others() -> None:
    listed = replace(POLICY, admit="listed", allow=("DB_TOKEN",))
    assert _opened(variables(DB_TOKEN="x"), policy=listed).bundle.statement(Slot.ENVIRONMENT) is Statement.GRANTED
    assert _code(lambda: _opened(variables(DB_TOKEN="x", HF_TOKEN="y"), policy=listed)) == "denied-variable"


def test_many_bad_names_make_one_readable_line() -> None:
    names = {f"A\x1b[2J;é{number}": "" for number in range(12)}
    bundle = replace(letter(variables(A="b")), grants=(variables(**names),))
    with pytest.raises(Refused) as refused:
        after_opening(_envelope(), bundle, POLICY, own_key=False)
    assert refused.value.code == "malformed-variable"
    assert refused.value.why.endswith(" and 2 more")
    assert refused.value.why.isprintable()


def test_an_ended_bundle_in_force_still_says_what_was_granted() -> None:
    bundle = letter(aws_session())
    sealed = _envelope(bundle)
    before_reopening(sealed, POLICY)
    admitted = after_opening(sealed, bundle, POLICY, own_key=False)
    assert admitted.bundle.statement(Slot.AWS) is Statement.GRANTED
