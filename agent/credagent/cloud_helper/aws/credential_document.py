"""The credential document that metadata services answer with: what it holds, and whether its expiry makes sense.

Pure. botocore accepts more than this and, near the end, writes an expiry of its own invention over the real one; what
is handed out here ends when the service said.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from credagent.cloud_helper.failures import CloudFailure, clock_failure, skew_text
from credagent.cloud_helper.job_responses import Notice
from credagent.credentials import AwsCredentials
from credagent.secret import Secret

LONGEST_SESSION = timedelta(hours=36)
"""AWS issues no session that lives longer (GetSessionToken's limit; a role's is 12 hours)."""


def credentials_from(
    document: object, *, region: str, now: datetime, skew_s: float | None
) -> tuple[AwsCredentials, tuple[Notice, ...]]:
    """Return the credentials in a document of instance or container metadata, and what is odd about them.

    Raises CloudFailure: `role-unusable`, `metadata-malformed`, `expiry-malformed`, `expiry-past`, `clock-skew`.
    """
    if not isinstance(document, Mapping):
        raise CloudFailure("metadata-malformed", "not a document")
    code = document.get("Code", "Success")
    if code != "Success":
        raise CloudFailure("role-unusable", _shown_code(code))
    fields = [_text(document, name) for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")]
    access_key_id, secret_access_key, token, expiration = fields
    expires_at, notices = bounded_expiry(parsed_expiry(expiration), now=now, skew_s=skew_s)
    credentials = AwsCredentials(
        access_key_id=access_key_id,
        secret_access_key=Secret(secret_access_key),
        session_token=Secret(token),
        expires_at=expires_at,
        region=region,
    )
    return credentials, notices


def parsed_expiry(text: str) -> datetime:
    """Return the time as aware UTC. A time without an offset could be anybody's, so it is none."""
    try:
        expires_at = datetime.fromisoformat(text)
        if expires_at.tzinfo is None:
            raise CloudFailure("expiry-malformed", "no offset from UTC")
        return expires_at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CloudFailure("expiry-malformed") from None


def bounded_expiry(expires_at: datetime, *, now: datetime, skew_s: float | None) -> tuple[datetime, tuple[Notice, ...]]:
    """Return the expiry to go by. Past: refused, and blamed on our clock where that is to blame. Far: shortened."""
    if expires_at <= now:
        raise clock_failure(skew_s) or CloudFailure("expiry-past", f"{(now - expires_at).total_seconds():.0f} s ago")
    notices = skew_notices(skew_s)
    if expires_at - now > LONGEST_SESSION:
        why = "the expiry is further away than any session lives; it is taken as 36 hours"
        return now + LONGEST_SESSION, (*notices, Notice(code="expiry-far", why=why))
    return expires_at, notices


def skew_notices(skew_s: float | None) -> tuple[Notice, ...]:
    """Return the warning about a clock that is wrong without having hurt yet."""
    if clock_failure(skew_s) is None or skew_s is None:
        return ()
    return (Notice(code="clock-skew", why=f"this machine's clock is wrong: {skew_text(skew_s)}"),)


def _text(document: Mapping[object, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise CloudFailure("metadata-malformed", f"no {name}")
    return value


def _shown_code(code: object) -> str:
    """Return a code of the service if it looks like one; anything else could be anything."""
    known = isinstance(code, str) and code.isascii() and code.isalnum() and len(code) <= LONGEST_CODE
    return f"Code {code}" if known else "an unknown Code"


LONGEST_CODE = 60
