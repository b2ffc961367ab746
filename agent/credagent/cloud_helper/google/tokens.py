"""Refreshes credentials with google-auth, and returns its access token with an expiry that was checked."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.auth.exceptions import GoogleAuthError

from credagent.cloud_helper.aws.credential_document import skew_notices
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.errors import from_google
from credagent.cloud_helper.job_responses import GoogleObtained, Notice
from credagent.credentials import GoogleToken, Origin
from credagent.secret import Secret

LONGEST_TOKEN = timedelta(hours=12)
"""Google issues no access token that lives longer (and beyond one hour only where a policy allows it)."""


def refresh(credentials: Any, transport: object, *, malformed: str = "malformed-answer") -> None:  # noqa: ANN401  google-auth has no types
    """Get a token into `credentials`. Raises CloudFailure; `malformed` is for what google-auth does not understand."""
    try:
        credentials.refresh(transport)
    except GoogleAuthError as exc:
        failure = from_google(exc)
        raise CloudFailure(malformed) if failure.code == "malformed-answer" else failure from exc
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as exc:  # what google-auth raises for malformed documents
        raise CloudFailure(malformed, type(exc).__name__) from exc


def obtained(
    credentials: Any,  # noqa: ANN401  google-auth has no types
    *,
    origin: Origin,
    scopes: tuple[str, ...],
    email: str = "",
    project: str = "",
    method: str = "",
    skew_s: float | None = None,
    now: datetime,
) -> GoogleObtained:
    """Return the token. Raises CloudFailure: `malformed-answer`, `expiry-past`."""
    token, expiry = credentials.token, credentials.expiry
    if not isinstance(token, str) or not token or not token.isprintable() or not isinstance(expiry, datetime):
        raise CloudFailure("malformed-answer", "no token")
    expires_at = expiry.replace(tzinfo=UTC) if expiry.tzinfo is None else expiry.astimezone(UTC)
    notices = skew_notices(skew_s)
    if expires_at <= now:
        raise CloudFailure("expiry-past", f"{(now - expires_at).total_seconds():.0f} s ago")
    if expires_at - now > LONGEST_TOKEN:
        expires_at = now + LONGEST_TOKEN
        why = "the expiry is further away than any token lives; it is taken as 12 hours"
        notices = (*notices, Notice(code="expiry-far", why=why))
    return GoogleObtained(
        token=GoogleToken(
            access_token=Secret(token), expires_at=expires_at, email=email, project=project, scopes=scopes
        ),
        origin=origin,
        principal=email,
        method=method,
        notices=notices,
        skew_s=skew_s,
    )
