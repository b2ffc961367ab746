"""When renewal happens, by example. That it holds for every life and jitter is a property test."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.slots import renewal_schedule
from credagent.tick import TICK_S

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("life_s", "lead", "jitter", "wait_s"),
    [
        (3600, renewal_schedule.AWS_LEAD, 0, 1800),
        (3600, renewal_schedule.AWS_LEAD, 1, 1980),
        (3600, renewal_schedule.AWS_LEAD, -1, 1620),
        (12 * 3600, renewal_schedule.AWS_LEAD, 0, 6 * 3600),
        (2100, renewal_schedule.AWS_LEAD, 0, 900),  # 20 minutes are left
        (900, renewal_schedule.AWS_LEAD, 0, 225),  # never mind the lead: a quarter
        (900, renewal_schedule.GOOGLE_LEAD, 0, 450),
        (480, renewal_schedule.GOOGLE_LEAD, 0, 180),  # 5 minutes are left
        (20, renewal_schedule.AWS_LEAD, 0, 5),
        (2, renewal_schedule.AWS_LEAD, 0, 1),
        (0, renewal_schedule.AWS_LEAD, 0, 1),
        (-3600, renewal_schedule.AWS_LEAD, 0, 1),
    ],
)
def test_what_a_life_leads_to(life_s: float, lead: timedelta, jitter: float, wait_s: float) -> None:
    life = timedelta(seconds=life_s)
    assert renewal_schedule.renewal_wait_s(life, lead, jitter) == pytest.approx(wait_s)
    assert renewal_schedule.renew_at(NOW, NOW + life, lead, jitter) == NOW + timedelta(seconds=wait_s)


HOUR_LEFT, NOTHING = 3600.0, None


@pytest.mark.parametrize(
    ("how", "pauses"),
    [
        ({"left_s": NOTHING}, [1, 2, 4, 8, 256, 300, 300]),
        ({"left_s": NOTHING, "refused": True}, [1, 2, 4, 8, 256, 300, 300]),
        ({"left_s": NOTHING, "cheap": True}, [1, 2, 4, 8, 60, 60, 60]),
        ({"left_s": NOTHING, "cheap": True, "refused": True}, [1, 2, 4, 8, 60, 60, 60]),
        ({"left_s": NOTHING, "cheap": True, "refused": True, "absent": True}, [1, 2, 4, 8, 900, 900, 900]),
        ({"left_s": HOUR_LEFT}, [1, 2, 4, 8, 256, 300, 300]),
        ({"left_s": HOUR_LEFT, "cheap": True, "refused": True}, [1, 2, 4, 8, 256, 512, 900]),
        ({"left_s": 30.0, "refused": True}, [1, 2, 4, 8, 10, 10, 10]),
        ({"left_s": 3.0}, [1, 1, 1, 1, 1, 1, 1]),
        ({"left_s": float("inf"), "refused": True}, [1, 2, 4, 8, 256, 512, 900]),
    ],
)
def test_failures_double_the_pause_up_to_the_bound_of_their_cell(how: dict[str, Any], pauses: list[float]) -> None:
    assert [renewal_schedule.retry_wait_s(failures, 0, **how) for failures in (1, 2, 3, 4, 9, 10, 1000)] == pauses


@pytest.mark.parametrize(("named_s", "wait_s"), [(0, 1), (0.5, 1), (45, 45), (300, 300), (86_400, 300)])
def test_a_service_that_names_a_time_is_left_alone_for_so_long_within_bounds(named_s: float, wait_s: float) -> None:
    assert renewal_schedule.retry_wait_s(1, 0, retry_after_s=named_s) == wait_s
    assert renewal_schedule.retry_wait_s(1, 0, left_s=20.0, retry_after_s=named_s) == wait_s


@pytest.mark.parametrize(("due_s", "wait_s"), [(-5, 0), (0, 0), (7, 7), (30, 30), (31, 30), (float("inf"), 30)])
def test_a_wait_ends_when_it_is_due_and_never_later_than_the_next_look(due_s: float, wait_s: float) -> None:
    assert renewal_schedule.look_wait_s(due_s, 40 * TICK_S) == wait_s
    assert renewal_schedule.look_wait_s(due_s, 41 * TICK_S - 6) == min(wait_s, 6)


@pytest.mark.parametrize(
    ("passed", "share"), [(-1, 0), (0.49, 0), (0.5, 0.5), (0.74, 0.5), (0.75, 0.75), (0.9, 0.9), (2, 0.9)]
)
def test_which_warning_a_share_of_the_life_is_worth(passed: float, share: float) -> None:
    life = timedelta(hours=1)
    assert renewal_schedule.warning_share(NOW, NOW + life, NOW + life * passed) == share


def test_a_life_of_no_length_is_warned_of_by_nobody() -> None:
    assert renewal_schedule.warning_share(NOW, NOW, NOW) == 0
