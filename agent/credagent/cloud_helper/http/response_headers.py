"""What the headers of an answer say of waiting and of clocks: `Retry-After` and `Date` (RFC 9110). Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 3600.0
"""A service that asks for more has told us nothing about the next hour's credentials."""


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return how long a service asks to be left alone (section 10.2.3), in seconds from `now`, 0 to an hour.

    None where the header is missing or cannot be read.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_S)
    until = _date(text)
    return None if until is None else min(max((until - now).total_seconds(), 0.0), LONGEST_S)


def skew_s(date_header: str | None, now: datetime) -> float | None:
    """Return the service's time minus ours in seconds (section 6.6.1; the header counts whole ones).

    None where the header is missing or cannot be read.
    """
    theirs = _date(date_header or "")
    return None if theirs is None else round((theirs - now).total_seconds(), 1)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
