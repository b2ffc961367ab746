"""An access token for a refresh token (RFC 6749, section 6). It is long-term: both sides have allowed it by name."""

import os
from datetime import UTC, datetime

from google.oauth2.credentials import Credentials

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.google.tokens import obtained, refresh
from credagent.cloud_helper.http.https_url import HTTPS_PORT, parse_https_url
from credagent.cloud_helper.job_requests import GoogleAuthorizedUserToken
from credagent.cloud_helper.job_responses import GoogleObtained
from credagent.credentials import Origin

CONFIGURED = "CLOUDSDK_AUTH_TOKEN_HOST"
"""gcloud's own, for private endpoints: a whole address."""
GOOGLES = ("oauth2.googleapis.com", "accounts.google.com")
GOOGLES_DOMAIN = ".googleapis.com"


def answer(request: GoogleAuthorizedUserToken) -> GoogleObtained:
    """Return a token. Raises CloudFailure (`invalid-grant` where the refresh token is no longer good)."""
    token_uri = _googles(request.token_uri)
    transport = AuthTransport()
    credentials = Credentials(
        token=None,
        refresh_token=request.refresh_token.reveal(),
        token_uri=token_uri,
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


def _googles(token_uri: str) -> str:
    """Return the address to send a refresh token to: Google's, or what this machine's own configuration says.

    The address came in a bundle, and the request comes from this machine: to any other address it would be a probe, and
    it would carry the refresh token.
    """
    if token_uri == os.environ.get(CONFIGURED):
        return token_uri
    url = parse_https_url(token_uri)
    if url is None or url.port != HTTPS_PORT or not (url.host in GOOGLES or url.host.endswith(GOOGLES_DOMAIN)):
        hint = f"look at the grant's token_uri; a private endpoint is named to the agent by {CONFIGURED}"
        raise CloudFailure("bad-endpoint", "token_uri is not Google's", hint=hint)
    return str(url)
