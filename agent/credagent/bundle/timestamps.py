"""Times as a bundle writes them: RFC 3339 text in one form, and microseconds since 1970. No clock belongs here."""

from datetime import UTC, datetime, timedelta

NUMBER_LIMIT = 2**53  # sequence numbers and times stay exact where a reader keeps numbers as doubles
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def text_of(moment: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`: six digits of fraction, or none where it is zero. Naive: ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a naive time")
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}{fraction}Z"


def microseconds_of(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware time. Naive: TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the aware UTC time of `microseconds` below NUMBER_LIMIT."""
    return _EPOCH + timedelta(microseconds=microseconds)
