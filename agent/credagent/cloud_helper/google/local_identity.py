"""The sender's own Google identity: the application-default credentials, as google-auth finds them."""

import os
from datetime import UTC, datetime
from typing import Any

import google.auth
from google.auth import _cloud_sdk
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.oauth2.credentials import Credentials

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.google.errors import from_google
from credagent.cloud_helper.google.tokens import obtained, refresh
from credagent.cloud_helper.job_requests import GoogleLocalRefreshToken, GoogleLocalToken
from credagent.cloud_helper.job_responses import GoogleObtained, GoogleRefreshToken
from credagent.credentials import Origin
from credagent.secret import Secret

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
LOGIN_HINT = "gcloud auth application-default login"


def answer(request: GoogleLocalToken | GoogleLocalRefreshToken) -> GoogleObtained | GoogleRefreshToken:
    """Return an access token, or the refresh token where that was asked for. Raises CloudFailure."""
    transport = AuthTransport()
    if isinstance(request, GoogleLocalRefreshToken):
        credentials, project = found(transport, ())
        return _refresh_token(credentials, project)
    scopes = request.scopes or (CLOUD_PLATFORM,)
    credentials, project = found(transport, scopes)
    refresh(credentials, transport)
    return obtained(
        credentials,
        origin=Origin.BUNDLE,
        scopes=scopes,
        email=_email(credentials),
        project=project,
        method=type(credentials).__module__.rpartition(".")[2],
        skew_s=transport.skew_s,
        now=datetime.now(UTC),
    )


def found(transport: AuthTransport, scopes: tuple[str, ...]) -> tuple[Any, str]:
    """Return google-auth's credentials and the project, without a token yet. Raises CloudFailure."""
    try:
        credentials, project = google.auth.default(scopes=list(scopes) or None, request=transport)
    except DefaultCredentialsError as exc:
        if _configured():
            raise CloudFailure("google-configuration") from exc
        raise CloudFailure("no-local-identity", "Google", hint=LOGIN_HINT) from exc
    except GoogleAuthError as exc:
        raise from_google(exc) from exc
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as exc:  # what odd files lead it to
        raise CloudFailure("google-configuration", type(exc).__name__) from exc
    return credentials, project or ""


def _refresh_token(credentials: Any, project: str) -> GoogleRefreshToken:  # noqa: ANN401  google-auth has no types
    if not isinstance(credentials, Credentials) or not credentials.refresh_token:
        raise CloudFailure("not-refreshable", type(credentials).__module__.rpartition(".")[2])
    return GoogleRefreshToken(
        client_id=credentials.client_id,
        client_secret=Secret(credentials.client_secret),
        refresh_token=Secret(credentials.refresh_token),
        token_uri=credentials.token_uri,
        project=project,
        principal=credentials.account or "",
    )


def _email(credentials: Any) -> str:  # noqa: ANN401  google-auth has no types
    for name in ("service_account_email", "account"):
        value = getattr(credentials, name, None)
        if isinstance(value, str) and "@" in value:
            return value
    return ""


def _configured() -> bool:
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return bool(path) or os.path.exists(_cloud_sdk.get_application_default_credentials_path())
