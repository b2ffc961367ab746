"""The `gce-attribute:` channel: one metadata attribute of this Google Cloud instance, waited for where it is known.

What is waited for is the folder of all attributes: the metadata server does not let anybody wait for an attribute that
is not there yet, and so one that appears, changes or vanishes is all the same.
https://cloud.google.com/compute/docs/metadata/querying-metadata#waitforchange
"""

import json
import os
from urllib.parse import urlencode

from credagent.cloud_helper.failures import CloudFailure, overload
from credagent.cloud_helper.http import metadata_client
from credagent.cloud_helper.job_requests import ChannelGet
from credagent.cloud_helper.job_responses import Content
from credagent.cloud_helper.machine_vendor import maker
from credagent.config.channel_grammar import GceAttributeChannelSpec

FOLDER = "/computeMetadata/v1/instance/attributes/"
HEADERS = {"Metadata-Flavor": "Google"}
PLACES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
ADDRESS = "169.254.169.254"
WAIT_S = 3.0
LEEWAY_S = 5.0  # the server answers a little after the time it was given
MAX_FOLDER_BYTES = 1024 * 1024  # Compute Engine allows 512 KiB for all attributes together
OK, FORBIDDEN, NOT_FOUND = 200, 403, 404


def get(channel: GceAttributeChannelSpec, request: ChannelGet) -> Content:
    """Return the attribute, None where there is none. Raises CloudFailure.

    With `wait_s` and a version it answers when any attribute has changed, or after that time.
    """
    named = next(filter(None, map(os.environ.get, PLACES)), "")
    if os.environ.get("NO_GCE_CHECK") == "true":
        raise CloudFailure("no-identity", "NO_GCE_CHECK is set")
    if not named and maker() == "amazon":
        raise CloudFailure("no-identity", "this is an Amazon machine")
    foreign = not named and maker() != "google"
    try:
        answered = metadata_client.ask(
            metadata_client.place_of(named or ADDRESS),
            f"{FOLDER}?{urlencode(_query(request))}",
            headers=HEADERS,
            wait_s=WAIT_S if not _waits(request) else request.wait_s + LEEWAY_S,
            max_bytes=MAX_FOLDER_BYTES,
        )
    except metadata_client.MetadataSilent as silence:
        if silence.kind == "connect" and foreign:
            raise CloudFailure("no-identity", "no metadata server") from silence
        if silence.kind == "cut":
            why = "the connection was closed before the answer's end"
            raise CloudFailure("metadata-malformed", why) from silence
        raise CloudFailure("metadata-unreachable") from silence
    return _content(answered, channel.name, request)


def _waits(request: ChannelGet) -> bool:
    return bool(request.version and request.wait_s)


def _query(request: ChannelGet) -> dict[str, str]:
    plain = {"recursive": "true", "alt": "json"}
    if not _waits(request):
        return plain
    return plain | {"wait_for_change": "true", "last_etag": request.version, "timeout_sec": str(request.wait_s)}


def _content(answered: metadata_client.MetadataResponse, name: str, request: ChannelGet) -> Content:
    if answered.headers.get("metadata-flavor") != "Google":
        raise CloudFailure("no-identity", "the metadata service is not Google's")
    if answered.status == NOT_FOUND:
        return Content()
    if answered.status != OK:
        raise overload(answered.status, answered.headers.get("retry-after")) or _refusal(answered.status)
    version = answered.headers.get("etag", "")
    if version and version == request.version:
        return Content(version=version, unchanged=True)
    try:
        value = json.loads(answered.body).get(name)
    except (ValueError, AttributeError) as exc:
        raise CloudFailure("metadata-malformed", "not a folder of attributes") from exc
    if value is None:
        return Content(version=version)
    data = str(value).encode()
    if len(data) > request.max_bytes:
        raise CloudFailure("channel-too-large", f"more than {request.max_bytes} bytes")
    return Content(data=data, version=version)


def _refusal(status: int) -> CloudFailure:
    code = "metadata-disabled" if status == FORBIDDEN else "metadata-refused"
    hint = "is the metadata server concealed or filtered here (GKE, a proxy)?" if status == FORBIDDEN else ""
    return CloudFailure(code, f"HTTP {status}", hint=hint)
