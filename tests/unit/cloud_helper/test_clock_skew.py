from datetime import UTC, datetime

import pytest

from credagent.cloud_helper.clock_skew import skew_s

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def test_the_services_clock_minus_ours() -> None:
    assert skew_s("Mon, 23 Nov 2026 13:00:00 GMT", NOW) == 3600.0
    assert skew_s("Mon, 23 Nov 2026 11:00:00 GMT", NOW) == -3600.0


@pytest.mark.parametrize("header", [None, "", "yesterday", "Mon, 99 Nov 2026 13:00:00 GMT"])
def test_no_time_is_no_skew(header: str | None) -> None:
    assert skew_s(header, NOW) is None


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    assert skew_s("Mon, 23 Nov 2026 12:00:10 -0000", NOW) == 10.0
