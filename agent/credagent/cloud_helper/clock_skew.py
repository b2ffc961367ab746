"""How far the service's clock is from ours, by the `Date` header of its answer (RFC 9110, section 6.6.1). Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def skew_s(date_header: str | None, now: datetime) -> float | None:
    """Return the service's time minus ours in seconds (the header counts whole ones); None where there is no header."""
    if not date_header:
        return None
    try:
        theirs = parsedate_to_datetime(date_header)
    except ValueError:
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    return round((theirs - now).total_seconds(), 1)
