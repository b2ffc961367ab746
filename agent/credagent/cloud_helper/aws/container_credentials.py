"""Container credentials of the agent's own environment (ECS tasks, EKS pod identities), through botocore's provider.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.credentials import ContainerProvider
from botocore.exceptions import BotoCoreError
from botocore.utils import ContainerMetadataFetcher

from credagent.cloud_helper.aws.credential_document import credentials_from
from credagent.cloud_helper.aws.recording_session import Exchange, RecordingSession
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.credentials import Origin

OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 400, 401, 403, 404
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


def obtain(region: str) -> AwsObtained:
    """Return the credentials of the task or pod, without their principal. Raises CloudFailure."""
    # botocore asks three times with a second in between; asking again is the renewal plan's business.
    fetcher: Any = ContainerMetadataFetcher(sleep=lambda _: None)
    fetcher.RETRY_ATTEMPTS = 1
    recording = RecordingSession(fetcher._session)  # noqa: SLF001  there is no other place to listen
    fetcher._session = recording  # noqa: SLF001  as above
    try:
        ContainerProvider(fetcher=fetcher).load()
    except OSError as exc:
        raise CloudFailure("bad-token-file", type(exc).__name__) from exc
    except (BotoCoreError, ValueError, KeyError, TypeError) as exc:
        if not recording.exchanges:  # it did not come to a request: an address or a token that must not be used
            code = "bad-token-file" if type(exc) is ValueError and _token_is_odd() else "bad-endpoint"
            raise CloudFailure(code) from exc
    document = _document(recording.exchanges)
    if document is None:
        raise verdict(recording.exchanges)
    now = datetime.now(UTC)
    credentials, notices = credentials_from(document, region=region, now=now, skew_s=recording.skew_s)
    return AwsObtained(
        credentials=credentials,
        origin=Origin.CONTAINER,
        role=_role(document),
        method="container-role",
        notices=notices,
        skew_s=recording.skew_s,
    )


def verdict(exchanges: Sequence[Exchange]) -> CloudFailure:
    """Return why no credentials came of these exchanges. Pure."""
    last = exchanges[-1] if exchanges else None
    if last is None:
        return CloudFailure("metadata-malformed")
    if last.silence == "cut":
        return CloudFailure("metadata-malformed", "the connection was closed before the answer's end")
    if last.status is None:
        return CloudFailure("metadata-unreachable", hint="is this the address that the platform gave the container?")
    if last.status == TOO_MANY_REQUESTS:
        return CloudFailure("throttled", "HTTP 429")
    if last.status >= SERVER_ERROR:
        return CloudFailure("service-error", f"HTTP {last.status}")
    if last.status in {BAD_REQUEST, UNAUTHORIZED, FORBIDDEN}:
        return CloudFailure("metadata-refused", f"HTTP {last.status}", hint="is the authorization token still good?")
    if last.status == NOT_FOUND:
        return CloudFailure("no-role", "HTTP 404", hint="give the task or the pod a role")
    return CloudFailure("metadata-malformed", "not a document")


def _role(document: object) -> str:
    """Return the role's ARN, which ECS says and EKS does not."""
    arn = document.get("RoleArn") if isinstance(document, dict) else None
    return arn if isinstance(arn, str) else ""


def _document(exchanges: Sequence[Exchange]) -> object:
    last = exchanges[-1] if exchanges else None
    if last is None or last.status != OK or last.silence:
        return None
    try:
        return json.loads(last.body)
    except ValueError:
        return None


def _token_is_odd() -> bool:
    """Tell whether the authorization token, from its file or its variable, cannot stand in a header."""
    path = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if not path:
        return not os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "").isprintable()
    with open(path, "rb") as file:
        return any(byte in file.read(MAX_TOKEN_BYTES) for byte in b"\r\n")


MAX_TOKEN_BYTES = 64 * 1024
