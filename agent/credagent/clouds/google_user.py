"""An access token for a refresh token (RFC 6749, section 6). Long-term: both sides have said yes to it by name."""

from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from google.oauth2.credentials import Credentials

from credagent.clouds.failures import CloudFailure
from credagent.clouds.google_tokens import obtained, refresh
from credagent.clouds.google_transport import Transport
from credagent.clouds.requests import GoogleAuthorizedUserToken, GoogleObtained
from credagent.credentials import Origin


def answer(request: GoogleAuthorizedUserToken) -> GoogleObtained:
    """Return a token. Raises CloudFailure (`invalid-grant` where the refresh token is no longer good)."""
    _demand_private(request.token_uri)
    transport = Transport()
    credentials = Credentials(
        token=None,
        refresh_token=request.refresh_token.reveal(),
        token_uri=request.token_uri,
        client_id=request.client_id,
        client_secret=request.client_secret.reveal(),
        scopes=list(request.scopes) or None,
    )
    refresh(credentials, transport)
    return obtained(
        credentials,
        origin=Origin.REFRESH_TOKEN,
        scopes=tuple(credentials.granted_scopes or request.scopes),
        project=request.project,
        skew_s=transport.skew_s,
        now=datetime.now(UTC),
    )


def _demand_private(token_uri: str) -> None:
    """Send a refresh token over TLS or not off this machine: the address came in a bundle."""
    try:
        parts = urlsplit(token_uri)
        private = parts.scheme == "https" or (parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback)
    except ValueError:
        private = False
    if not private:
        raise CloudFailure("bad-endpoint", "token_uri is not https", hint="look at the grant's token_uri")
