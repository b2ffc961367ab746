"""The `s3:` channel: one object, asked for by its ETag so that an unchanged one is not sent again.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.channel_storage.aws_storage_clients import client
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import ChannelGet, ChannelPut
from credagent.cloud_helper.job_responses import Content, Stored
from credagent.config.channel_grammar import S3ChannelSpec

NOT_MODIFIED = frozenset({"304", "NotModified"})
NO_OBJECT = "NoSuchKey"
NO_BUCKET = "NoSuchBucket"
DENIED_HINT = (
    "the identity needs s3:GetObject on the object; without s3:ListBucket on the bucket S3 also says so of an object "
    "that is not there"
)


def get(channel: S3ChannelSpec, request: ChannelGet) -> Content:
    """Return the object. Raises CloudFailure."""
    condition = {"IfNoneMatch": request.version} if request.version else {}
    try:
        answered = client("s3", request).get_object(Bucket=channel.bucket, Key=channel.key, **condition)
        data = answered["Body"].read(request.max_bytes + 1)
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        if code in NOT_MODIFIED:
            return Content(version=request.version, unchanged=True)
        if code == NO_OBJECT:
            return Content()
        raise _meant(exc, code) from exc
    except BotoCoreError as exc:
        raise from_botocore(exc) from exc
    if len(data) > request.max_bytes:
        raise CloudFailure("channel-too-large", f"more than {request.max_bytes} bytes")
    return Content(data=data, version=str(answered.get("ETag", "")))


def put(channel: S3ChannelSpec, request: ChannelPut, data: bytes) -> Stored:
    """Write the object. Raises CloudFailure."""
    try:
        answered: Any = client("s3", request).put_object(
            Bucket=channel.bucket, Key=channel.key, Body=data, ContentType="text/plain"
        )
    except ClientError as exc:
        raise _meant(exc, str(exc.response.get("Error", {}).get("Code", ""))) from exc
    except BotoCoreError as exc:
        raise from_botocore(exc) from exc
    return Stored(version=str(answered.get("ETag", "")))


def _meant(exc: ClientError, code: str) -> CloudFailure:
    if code == NO_BUCKET:
        return CloudFailure("not-found", "no such bucket", hint="is the bucket's name right?")
    failure = from_botocore(exc)
    return CloudFailure(failure.code, hint=DENIED_HINT) if failure.code == "access-denied" else failure
