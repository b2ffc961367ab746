"""How each cloud writes a time. No clock is read here: every function gets the time as seconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate


def aws(at: float) -> str:
    """`2026-11-03T10:15:00Z`, as STS and instance metadata write an expiry."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339(at: float) -> str:
    """With milliseconds, as S3 and Google Cloud Storage write the time of an object."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(at * 1000) % 1000:03d}Z"


def http_date(at: float) -> str:
    """As in the `Date` header (RFC 9110, section 5.6.7)."""
    return formatdate(at, usegmt=True)


def parse_signing(text: str) -> float:
    """Seconds of an `X-Amz-Date`; raises ValueError where it is none."""
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
