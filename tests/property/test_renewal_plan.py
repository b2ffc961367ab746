"""The renewal plan, for every life from 20 seconds to 12 hours and every jitter."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credagent.slots import renewal_schedule
from credagent.tick import TICK_S

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


def hole_s(how: dict[str, Any], came_back_s: float, jitter: float) -> float:
    """Return how long after a service answers again it is asked, where nothing is held from the first failure on."""
    asked_s, failures = 0.0, 0
    while asked_s < came_back_s:
        failures += 1
        asked_s += renewal_schedule.retry_wait_s(failures, jitter, **how)
    return asked_s - came_back_s


CLASSES: dict[str, tuple[dict[str, Any], float]] = {
    "metadata, passing": ({"cheap": True}, 60),
    "metadata, refused (no-role, hop-limit, no-service-account)": ({"cheap": True, "refused": True}, 60),
    "metadata, no such cloud (no-identity)": ({"cheap": True, "refused": True, "absent": True}, 900),
    "a cloud's service, passing": ({}, 300),
    "a cloud's service, refused (access-denied)": ({"refused": True}, 300),
    "a service that names a time": ({"retry_after_s": 10_000.0}, 300),
}


@pytest.mark.parametrize("name", CLASSES)
@example(57.0, -1.0)
@example(54.0, -1.0)
@example(60.0, 0.0)
@given(st.floats(min_value=0, max_value=12 * 3600), jitters)
def test_the_longest_hole_of_an_empty_slot_is_that_of_its_class(name: str, trouble_s: float, jitter: float) -> None:
    """And within the first minute of trouble, which jitter may shorten, it is not much longer than the trouble was."""
    how, bound_s = CLASSES[name]
    hole = hole_s(how, trouble_s, jitter)
    first_minute_s = 60 * min(1 + renewal_schedule.JITTER_SHARE * jitter, 1)
    assert hole <= 1.1 * bound_s
    if trouble_s <= first_minute_s and "retry_after_s" not in how:
        assert hole <= 1.1 * (trouble_s + 1) * 1.25 + 1


@given(lives, leads, st.booleans(), st.booleans(), st.data())
def test_no_failure_while_something_is_held_costs_more_than_a_third_of_what_is_left(
    life: timedelta,
    lead: timedelta,
    cheap: bool,  # noqa: FBT001  drawn
    refused: bool,  # noqa: FBT001  drawn
    data: st.DataObject,
) -> None:
    """From the renewal that fails to the end of the life there are attempts, each after a third of the rest at most."""
    left_s = life.total_seconds() - renewal_schedule.renewal_wait_s(life, lead, data.draw(jitters))
    failures = 0
    while left_s > 3 * renewal_schedule.LEAST_WAIT_S:
        failures += 1
        wait = renewal_schedule.retry_wait_s(failures, data.draw(jitters), left_s=left_s, cheap=cheap, refused=refused)
        assert 0.9 * renewal_schedule.LEAST_WAIT_S <= wait <= max(left_s / 3, renewal_schedule.LEAST_WAIT_S)
        left_s -= wait
    assert failures >= 3


@given(st.integers(min_value=1, max_value=10_000), jitters, st.booleans(), st.floats(min_value=0, max_value=1e6))
def test_no_failure_leads_to_a_hot_loop(failures: int, jitter: float, cheap: bool, left_s: float) -> None:  # noqa: FBT001  drawn
    """Nearly a second, whatever is left and whoever is asked; and there is always a next attempt."""
    wait = renewal_schedule.retry_wait_s(failures, jitter, left_s=left_s, cheap=cheap)
    assert 0.9 * renewal_schedule.LEAST_WAIT_S <= wait <= 1.1 * renewal_schedule.REFUSED_RETRY_S


@given(st.integers(min_value=1, max_value=100), jitters, st.floats(min_value=0, max_value=300))
def test_a_service_that_names_a_time_is_never_asked_earlier(failures: int, jitter: float, named_s: float) -> None:
    """The jitter only adds: machines that were sent away together do not come back together, nor too early."""
    assert renewal_schedule.retry_wait_s(failures, jitter, retry_after_s=named_s) >= named_s


@given(st.floats(min_value=-1e6, max_value=1e6), st.floats(min_value=0, max_value=1e9))
def test_no_single_wait_outlasts_its_cap(due_in_s: float, monotonic: float) -> None:
    """A stepped clock or a suspended machine is noticed within the cap."""
    assert 0 <= renewal_schedule.look_wait_s(due_in_s, monotonic) <= TICK_S


@given(lives, st.floats(min_value=-3600, max_value=3600), jitters, st.floats(min_value=0, max_value=1e9))
def test_a_stepped_clock_moves_the_plan_with_it(
    life: timedelta, step_s: float, jitter: float, monotonic: float
) -> None:
    """The due time is a point of the wall clock: after a step of an hour it is due at once, or later by the step."""
    due = renewal_schedule.renew_at(EPOCH, EPOCH + life, renewal_schedule.AWS_LEAD, jitter)
    stepped = EPOCH + timedelta(seconds=step_s)
    wait = renewal_schedule.look_wait_s((due - stepped).total_seconds(), monotonic)
    assert wait <= TICK_S
    assert (wait == 0) == (stepped >= due)
