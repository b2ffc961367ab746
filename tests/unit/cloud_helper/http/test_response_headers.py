"""`Retry-After`, in seconds or as a date, as far as it can be believed, and the clock that `Date` shows."""

from datetime import UTC, datetime

import pytest

from credagent.cloud_helper.failures import overload
from credagent.cloud_helper.http.response_headers import LONGEST_S, retry_after_s, skew_s

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Mon, 30 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 30 Nov 2026 12:00:30 -0000", 30.0),
        ("9" * 400, LONGEST_S),
        ("Mon, 30 Nov 2099 12:00:00 GMT", LONGEST_S),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_the_time_a_service_asks_for(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOON) == seconds


def test_a_throttled_or_failing_service_is_told_with_the_time_it_asks_for() -> None:
    for status, code in ((429, "throttled"), (503, "service-error"), (500, "service-error")):
        failure = overload(status, "9")
        assert failure is not None
        told = failure.reply("x")
        assert (told.code, told.retry, told.retry_after_s) == (code, True, 9.0)
    assert overload(404, "9") is None


def test_the_services_clock_minus_ours() -> None:
    assert skew_s("Mon, 30 Nov 2026 13:00:00 GMT", NOON) == 3600.0
    assert skew_s("Mon, 30 Nov 2026 11:00:00 GMT", NOON) == -3600.0


@pytest.mark.parametrize("header", [None, "", "yesterday", "Mon, 99 Nov 2026 13:00:00 GMT"])
def test_no_time_is_no_skew(header: str | None) -> None:
    assert skew_s(header, NOON) is None


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    assert skew_s("Mon, 30 Nov 2026 12:00:10 -0000", NOON) == 10.0
