"""The `aws-ssm:` channel: one parameter of the AWS Systems Manager parameter store.

Its version is told only together with its value, so an unchanged one travels as well; but no further than this process.
https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.channel_storage.aws_storage_clients import client
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import ChannelGet, ChannelPut
from credagent.cloud_helper.job_responses import Content, Stored
from credagent.config.channel_grammar import SsmChannelSpec

STANDARD_BYTES = 4096  # free of charge
ADVANCED_BYTES = 8192
ARN_PARTS = 6
ABSENT = "ParameterNotFound"
TOO_LARGE_HINT = "seal to an X25519 key, with fewer variables or recipients, or use s3:// instead"


def get(channel: SsmChannelSpec, request: ChannelGet) -> Content:
    """Return the parameter's value; one of type SecureString is decrypted. Raises CloudFailure."""
    try:
        answered = client("ssm", request, _region(channel)).get_parameter(Name=channel.name, WithDecryption=True)
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") == ABSENT:
            return Content()
        raise from_botocore(exc) from exc
    except BotoCoreError as exc:
        raise from_botocore(exc) from exc
    parameter: Any = answered["Parameter"]
    version = str(parameter["Version"])
    if version == request.version:
        return Content(version=version, unchanged=True)
    return Content(data=str(parameter["Value"]).encode(), version=version)


def put(channel: SsmChannelSpec, request: ChannelPut, data: bytes) -> Stored:
    """Write the parameter, in the tier that its size needs. Raises CloudFailure."""
    size = len(data)
    if size > ADVANCED_BYTES:
        detail = f"{size} bytes; a parameter holds {ADVANCED_BYTES}"
        raise CloudFailure("channel-too-large", detail, hint=TOO_LARGE_HINT)
    tier = "Standard" if size <= STANDARD_BYTES else "Advanced"
    try:
        answered = client("ssm", request, _region(channel)).put_parameter(
            Name=channel.name, Value=data.decode("ascii"), Type="String", Overwrite=True, Tier=tier
        )
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    notice = "" if tier == "Standard" else f"an advanced parameter, for which AWS charges: it has {size} bytes"
    return Stored(version=str(answered["Version"]), notice=notice)


def _region(channel: SsmChannelSpec) -> str:
    parts = channel.name.split(":", ARN_PARTS - 1)
    return parts[3] if len(parts) == ARN_PARTS and parts[0] == "arn" else ""
