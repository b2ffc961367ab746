"""The `gs:` channel: one object of Google Cloud Storage, by its generation.

https://cloud.google.com/storage/docs/json_api/v1/objects/get
"""

import json
import os
from urllib.parse import quote

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.http import https_client
from credagent.cloud_helper.job_requests import ChannelGet, ChannelPut
from credagent.cloud_helper.job_responses import Content, Stored
from credagent.config.channel_grammar import GsChannelSpec

ENDPOINT = "https://storage.googleapis.com"
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"  # gcloud's own, for private endpoints
WRITE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
OK, NOT_MODIFIED, FORBIDDEN, NOT_FOUND = 200, 304, 403, 404
MAX_DOCUMENT_BYTES = 64 * 1024
DENIED_HINT = "the service account needs storage.objects.get (roles/storage.objectViewer), the VM a storage scope"


def get(channel: GsChannelSpec, request: ChannelGet) -> Content:
    """Return the object. Raises CloudFailure."""
    condition = f"&ifGenerationNotMatch={quote(request.version)}" if request.version else ""
    url = f"{_base()}/storage/v1/b/{quote(channel.bucket)}/o/{quote(channel.name, safe='')}?alt=media{condition}"
    headers = {"Authorization": f"Bearer {_token(request)}"}
    answered = https_client.ask(https_client.open_session(), "GET", url, headers=headers, max_bytes=request.max_bytes)
    if answered.status == NOT_MODIFIED:
        return Content(version=request.version, unchanged=True)
    if answered.status == NOT_FOUND:
        return Content()
    if answered.status != OK:
        raise _meant(answered.status, answered.headers.get("Retry-After"))
    version = answered.headers.get("X-Goog-Generation", "")
    if version and version == request.version:
        return Content(version=version, unchanged=True)
    return Content(data=answered.body, version=version)


def put(channel: GsChannelSpec, request: ChannelPut, data: bytes) -> Stored:
    """Write the object. Raises CloudFailure."""
    url = (
        f"{_base()}/upload/storage/v1/b/{quote(channel.bucket)}/o?uploadType=media&name={quote(channel.name, safe='')}"
    )
    headers = {"Authorization": f"Bearer {_token(request)}", "Content-Type": "text/plain"}
    session = https_client.open_session()
    answered = https_client.ask(session, "POST", url, headers=headers, max_bytes=MAX_DOCUMENT_BYTES, data=data)
    if answered.status == NOT_FOUND:
        raise CloudFailure("not-found", "no such bucket", hint="is the bucket's name right?")
    if answered.status != OK:
        raise _meant(answered.status, answered.headers.get("Retry-After"))
    try:
        return Stored(version=str(json.loads(answered.body)["generation"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise CloudFailure("malformed-answer", type(exc).__name__) from exc


def _meant(status: int, retry_after: str | None) -> CloudFailure:
    if status == FORBIDDEN:
        return CloudFailure("access-denied", f"HTTP {status}", hint=DENIED_HINT)
    return https_client.refusal(status, retry_after)


def _base() -> str:
    return os.environ.get(ENDPOINT_VARIABLE, "").rstrip("/") or ENDPOINT


def _token(request: ChannelGet | ChannelPut) -> str:
    """Return a token: of the VM's service account with the scopes that it was given, or of a person, to write."""
    transport = AuthTransport()
    if request.identity == "machine":
        with progress.preparing():
            from credagent.cloud_helper.google.machine_identity import machine_credentials

        return str(machine_credentials(transport, ()).token)
    with progress.preparing():
        from credagent.cloud_helper.google.local_identity import found
        from credagent.cloud_helper.google.tokens import refresh

    credentials, _ = found(transport, (WRITE_SCOPE,))
    refresh(credentials, transport)
    return str(credentials.token)
