"""The `ec2-user-data` channel: the instance's user data, by IMDSv2. What in it is a bundle is said in `user_data`.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

import hashlib
import os

from credagent.cloud_helper import metadata_http_client
from credagent.cloud_helper.channel_storage import bundle_in_user_data
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import ChannelGet
from credagent.cloud_helper.job_responses import Content
from credagent.cloud_helper.machine_vendor import maker
from credagent.config.channel_specs import Ec2UserDataChannelSpec

WAIT_S = 2.0  # each of the two
TOKEN_LIFETIME_S = 60
MAX_USER_DATA_BYTES = 64 * 1024  # EC2 allows 16 KiB; those who imitate it allow more
MAX_TOKEN_BYTES = 1024
IPV4, IPV6 = "http://169.254.169.254", "http://[fd00:ec2::254]"
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY, SERVER_ERROR = 200, 401, 403, 404, 429, 500
NOT_AMAZONS = frozenset({400, NOT_FOUND, 405})  # what other clouds' services say to a request for a session token


def get(_: Ec2UserDataChannelSpec, request: ChannelGet) -> Content:
    """Return the bundle in the user data, None where there is none. Raises CloudFailure."""
    named = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
    foreign = not named and maker() != "amazon"
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise CloudFailure("no-identity", "AWS_EC2_METADATA_DISABLED is set")
    if not named and maker() == "google":
        raise CloudFailure("no-identity", "this is a Google Cloud machine")
    mode = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower()
    base = named or (IPV6 if mode == "ipv6" else IPV4)
    try:
        token = _token(base, foreign=foreign)
        answered = metadata_http_client.ask(
            base,
            "/latest/user-data",
            headers={"X-aws-ec2-metadata-token": token},
            wait_s=WAIT_S,
            max_bytes=MAX_USER_DATA_BYTES,
        )
    except metadata_http_client.MetadataSilent as silence:
        if foreign and not silence.connected:
            raise CloudFailure("no-identity", "no metadata service") from silence
        raise CloudFailure("hop-limit" if silence.connected else "metadata-unreachable") from silence
    return _content(answered, request)


def _token(base: str, *, foreign: bool) -> str:
    answered = metadata_http_client.ask(
        base,
        "/latest/api/token",
        method="PUT",
        headers={"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFETIME_S)},
        wait_s=WAIT_S,
        max_bytes=MAX_TOKEN_BYTES,
    )
    if answered.headers.get("metadata-flavor") == "Google" or (foreign and answered.status in NOT_AMAZONS):
        raise CloudFailure("no-identity", "the metadata service is not Amazon's")
    token = answered.body.decode("ascii", "replace").strip()
    if answered.status != OK:
        raise _refusal(answered.status)
    if not token.isascii() or not token.isprintable() or not token:
        raise CloudFailure("metadata-malformed", "not a token")
    return token


def _content(answered: metadata_http_client.MetadataResponse, request: ChannelGet) -> Content:
    if answered.status == NOT_FOUND:
        return Content()
    if answered.status != OK:
        raise _refusal(answered.status)
    version = hashlib.sha256(answered.body).hexdigest()
    if version == request.version:
        return Content(version=version, unchanged=True)
    data = bundle_in_user_data.bundle_in(answered.body)
    if data is not None and len(data) > request.max_bytes:
        raise CloudFailure("channel-too-large", f"more than {request.max_bytes} bytes")
    return Content(data=data, version=version)


def _refusal(status: int) -> CloudFailure:
    if status == TOO_MANY:
        return CloudFailure("throttled", "HTTP 429")
    if status >= SERVER_ERROR:
        return CloudFailure("service-error", f"HTTP {status}")
    return CloudFailure("metadata-disabled" if status == FORBIDDEN else "metadata-refused", f"HTTP {status}")
