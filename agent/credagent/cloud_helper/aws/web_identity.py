"""The role of a Kubernetes service account or another OIDC identity (sts:AssumeRoleWithWebIdentity).

The three variables are the agent's own; the token file is read at each call, since the platform replaces it.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
"""

import os
import time

from botocore.exceptions import BotoCoreError, ClientError

from credagent.cloud_helper.aws.clients import client
from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.aws.sts_session import session_from, session_name
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.credentials import Origin
from credagent.secret import Secret

MAX_TOKEN_BYTES = 20_000  # what STS accepts


def obtain(region: str) -> AwsObtained:
    """Return the role's session. Raises CloudFailure."""
    path, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), os.environ.get("AWS_ROLE_ARN")
    if not path or not role:
        raise CloudFailure("no-identity", "AWS_WEB_IDENTITY_TOKEN_FILE or AWS_ROLE_ARN is not set")
    token = _token(path)
    name = os.environ.get("AWS_ROLE_SESSION_NAME") or f"credagent-{int(time.time())}"
    try:
        response = client("sts", None, region).assume_role_with_web_identity(
            RoleArn=role,
            RoleSessionName=session_name(name),
            WebIdentityToken=token.reveal(),
        )
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    return session_from(response, region=region, origin=Origin.WEB_IDENTITY, method="assume-role-with-web-identity")


def _token(path: str) -> Secret:
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_TOKEN_BYTES + 1)
    except OSError as exc:
        raise CloudFailure("bad-token-file", type(exc).__name__) from exc
    text = raw.decode("ascii", "replace").strip()
    if not text or len(raw) > MAX_TOKEN_BYTES or not text.isprintable():
        raise CloudFailure("bad-token-file")
    return Secret(text)
