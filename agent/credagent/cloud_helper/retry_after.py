"""How long a service asks to be left alone, by its answer's `Retry-After` (RFC 9110, section 10.2.3). Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 3600.0
"""A service that asks for more has told us nothing about the next hour's credentials."""


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds from `now`, between 0 and an hour; None where the header is missing or cannot be read."""
    text = (header or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_S)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_S)
