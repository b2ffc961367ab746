"""What STS is told and answers, in values of ours: a session's name, the session, whose it is, a judged expiry."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from credagent.cloud_helper.aws.credential_document import bounded_expiry
from credagent.cloud_helper.aws.errors import skew_of
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.credentials import AwsCredentials, Origin
from credagent.secret import Secret

ARN_PARTS = 6
DEFAULT_SESSION_NAME = "credagent"
NOT_A_SESSION_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)
LONGEST_SESSION_NAME = 64


def session_from(response: Mapping[str, Any], *, region: str, origin: Origin, method: str) -> AwsObtained:
    """Return the session in a response of GetSessionToken or one of the AssumeRole actions. Raises CloudFailure."""
    issued, skew_s = response.get("Credentials", {}), skew_of(response)
    try:
        expiration: datetime = issued["Expiration"]
        credentials = AwsCredentials(
            access_key_id=issued["AccessKeyId"],
            secret_access_key=Secret(issued["SecretAccessKey"]),
            session_token=Secret(issued["SessionToken"]),
            region=region,
        )
    except KeyError as exc:
        raise CloudFailure("malformed-answer", "no session") from exc
    expires_at, notices = bounded_expiry(expiration.astimezone(UTC), now=datetime.now(UTC), skew_s=skew_s)
    arn = str(response.get("AssumedRoleUser", {}).get("Arn", ""))
    return AwsObtained(
        credentials=structs.replace(credentials, expires_at=expires_at),
        origin=origin,
        principal=arn,
        account=account_of(arn),
        method=method,
        notices=notices,
        skew_s=skew_s,
    )


def account_of(arn: str) -> str:
    """Return the account in an ARN; empty where there is none."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == ARN_PARTS else ""


def session_name(asked: str) -> str:
    """Return a name that STS accepts: 2 to 64 characters of its alphabet."""
    name = NOT_A_SESSION_NAME.sub("-", asked)[:LONGEST_SESSION_NAME]
    return name if len(name) > 1 else DEFAULT_SESSION_NAME
