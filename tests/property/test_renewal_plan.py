"""The renewal plan, for every life from 20 seconds to 12 hours and every jitter."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from credagent.slots import renewal_schedule

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
lives = st.floats(min_value=20, max_value=12 * 3600).map(lambda seconds: timedelta(seconds=seconds))
jitters = st.floats(min_value=-1, max_value=1)
leads = st.sampled_from([renewal_schedule.AWS_LEAD, renewal_schedule.GOOGLE_LEAD])


@given(lives, leads, jitters)
def test_a_renewal_comes_before_the_expiry_with_room_for_retries(
    life: timedelta, lead: timedelta, jitter: float
) -> None:
    """At least two fifths of the life are left when the renewal is due."""
    due = renewal_schedule.renew_at(EPOCH, EPOCH + life, lead, jitter)
    assert EPOCH < due <= EPOCH + life * 0.6


@given(lives, leads, jitters)
def test_the_lead_is_kept_where_the_life_allows(life: timedelta, lead: timedelta, jitter: float) -> None:
    """20 minutes are left for AWS and 5 for Google, unless that would mean asking before a quarter has passed."""
    due = renewal_schedule.renew_at(EPOCH, EPOCH + life, lead, jitter)
    allowed = life - lead >= life * renewal_schedule.LEAST_SHARE * (1 + renewal_schedule.JITTER_SHARE)
    assert not allowed or EPOCH + life - due >= lead - timedelta(microseconds=1)


@given(st.floats(min_value=-3600, max_value=12 * 3600), leads, jitters)
def test_no_life_leads_to_a_hot_loop(left_s: float, lead: timedelta, jitter: float) -> None:
    """Even credentials that are over already are asked for once a second at most."""
    assert renewal_schedule.renewal_wait_s(timedelta(seconds=left_s), lead, jitter) >= renewal_schedule.LEAST_WAIT_S


@given(lives, lives, leads, jitters)
def test_less_left_never_means_a_longer_wait(one: timedelta, other: timedelta, lead: timedelta, jitter: float) -> None:
    """The wait is monotone in what is left, so that the same credentials again cannot postpone the next attempt."""
    shorter, longer = sorted((one, other))
    assert (
        renewal_schedule.renewal_wait_s(shorter, lead, jitter)
        <= renewal_schedule.renewal_wait_s(longer, lead, jitter) + 1e-6
    )


@given(st.integers(min_value=1, max_value=10_000), jitters)
def test_retries_back_off_to_five_minutes_and_never_end(failures: int, jitter: float) -> None:
    """Each pause is within its cap, and there is always a next one."""
    wait = renewal_schedule.retry_wait_s(failures, jitter, permanent=False)
    assert 0.9 * renewal_schedule.FIRST_RETRY_S <= wait <= 1.1 * renewal_schedule.LONGEST_RETRY_S


@given(jitters)
def test_a_permanent_refusal_is_retried_slowly(jitter: float) -> None:
    """A quarter of an hour, give or take a tenth, after the first refusal as after the last."""
    waits = [renewal_schedule.retry_wait_s(failures, jitter, permanent=True) for failures in (1, 50)]
    assert waits[0] == waits[1]
    assert 0.9 * renewal_schedule.REFUSED_RETRY_S <= waits[0] <= 1.1 * renewal_schedule.REFUSED_RETRY_S


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_no_single_wait_outlasts_its_cap(due_in_s: float) -> None:
    """A stepped clock or a suspended machine is noticed within the cap."""
    assert 0 <= renewal_schedule.look_wait_s(due_in_s) <= renewal_schedule.LONGEST_WAIT_S


@given(lives, st.floats(min_value=-3600, max_value=3600), jitters)
def test_a_stepped_clock_moves_the_plan_with_it(life: timedelta, step_s: float, jitter: float) -> None:
    """The due time is a point of the wall clock: after a step of an hour it is due at once, or later by the step."""
    due = renewal_schedule.renew_at(EPOCH, EPOCH + life, renewal_schedule.AWS_LEAD, jitter)
    stepped = EPOCH + timedelta(seconds=step_s)
    wait = renewal_schedule.look_wait_s((due - stepped).total_seconds())
    assert wait <= renewal_schedule.LONGEST_WAIT_S
    assert (wait == 0) == (stepped >= due)
