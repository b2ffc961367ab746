"""A token of another service account (IAM Credentials, generateAccessToken), through google-auth.

https://cloud.google.com/iam/docs/create-short-lived-credentials-direct. Whether this machine may be used for this
target is the caller's rule, not this module's.
"""

import os
import re
from datetime import UTC, datetime
from typing import Any

from google.auth.impersonated_credentials import Credentials as Impersonated
from google.oauth2.credentials import Credentials

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.google.machine_identity import machine_credentials
from credagent.cloud_helper.google.tokens import obtained, refresh
from credagent.cloud_helper.job_requests import GoogleImpersonate
from credagent.cloud_helper.job_responses import GoogleObtained
from credagent.credentials import Origin

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"
"""gcloud's own; google-auth has none. For private endpoints."""

TARGET = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+|[0-9]+")
"""The target becomes part of an address: a `/` in it would name another account than the one the rules looked at."""


def answer(request: GoogleImpersonate) -> GoogleObtained:
    """Return a token of the target. Raises CloudFailure."""
    if not TARGET.fullmatch(request.target):
        raise CloudFailure("request-refused", "the target is not a service account's address")
    transport = AuthTransport()
    scopes = request.scopes or (CLOUD_PLATFORM,)
    credentials = Impersonated(
        source_credentials=_source(request, transport),
        target_principal=request.target,
        target_scopes=list(scopes),
        lifetime=request.lifetime_s,
        iam_endpoint_override=_endpoint(request.target),
    )
    refresh(credentials, transport)
    return obtained(
        credentials,
        origin=Origin.IMPERSONATION,
        scopes=scopes,
        email=request.target,
        project=request.project,
        skew_s=transport.skew_s,
        now=datetime.now(UTC),
    )


def _source(request: GoogleImpersonate, transport: AuthTransport) -> Any:  # noqa: ANN401  google-auth has no types
    if request.token is None:
        return machine_credentials(transport, (CLOUD_PLATFORM,))
    if request.token.expires_at <= datetime.now(UTC):
        raise CloudFailure("expired-token", "the forwarded token")
    return Credentials(token=request.token.access_token.reveal())


def _endpoint(target: str) -> str | None:
    base = os.environ.get(ENDPOINT_VARIABLE, "").rstrip("/")
    return f"{base}/v1/projects/-/serviceAccounts/{target}:generateAccessToken" if base else None
