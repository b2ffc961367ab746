"""The service account that this machine runs as, from Google's metadata server, through google-auth.

https://cloud.google.com/compute/docs/access/authenticate-workloads. The metadata server answers with the same token
until some minutes before its expiry; that is not a failure.
"""

import os
from datetime import UTC, datetime
from typing import Any

from google.auth.compute_engine import Credentials, _metadata
from google.auth.exceptions import GoogleAuthError

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.google.errors import from_google
from credagent.cloud_helper.google.tokens import obtained, refresh
from credagent.cloud_helper.job_requests import GoogleMachineToken
from credagent.cloud_helper.job_responses import GoogleObtained
from credagent.cloud_helper.machine_vendor import maker
from credagent.credentials import Origin

PLACES = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP")


def answer(request: GoogleMachineToken) -> GoogleObtained:
    """Return a token and whose it is. Raises CloudFailure."""
    transport = AuthTransport()
    credentials = machine_credentials(transport, request.scopes)
    return obtained(
        credentials,
        origin=Origin.GOOGLE_METADATA,
        scopes=request.scopes or tuple(credentials.scopes or ()),
        email=str(credentials.service_account_email),
        project=request.project or project(transport),
        method="metadata",
        skew_s=transport.skew_s,
        now=datetime.now(UTC),
    )


def machine_credentials(transport: AuthTransport, scopes: tuple[str, ...]) -> Any:  # noqa: ANN401  google-auth has no types
    """Return google-auth's credentials of this machine, fresh. Raises CloudFailure."""
    demand_a_google_machine(transport)
    credentials = Credentials(scopes=list(scopes) or None)
    refresh(credentials, transport, malformed="metadata-malformed")
    return credentials


def project(transport: AuthTransport) -> str:
    """Return the project that this machine belongs to; empty where metadata does not say."""
    try:
        name = _metadata.get_project_id(transport)
    except (GoogleAuthError, CloudFailure):
        return ""
    return name if isinstance(name, str) and name.isprintable() else ""


def demand_a_google_machine(transport: AuthTransport) -> None:
    """Raise `no-identity` where this is none: at once by its firmware, else after one short look at the network."""
    if os.environ.get("NO_GCE_CHECK") == "true":
        raise CloudFailure("no-identity", "NO_GCE_CHECK is set")
    made_by = maker()
    if made_by == "google" or any(os.environ.get(name) for name in PLACES):
        return
    if made_by == "amazon":
        raise CloudFailure("no-identity", "this is an Amazon machine")
    try:
        found = _metadata.ping(transport, timeout=1, retry_count=1)
    except GoogleAuthError as exc:
        raise from_google(exc) from exc
    if not found:
        raise CloudFailure("no-identity", "no metadata server")
