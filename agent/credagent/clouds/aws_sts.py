"""What STS answers, as a value of ours: a session, whose it is, and an expiry that was judged."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from credagent.clouds.aws_documents import bounded_expiry
from credagent.clouds.aws_errors import skew_of
from credagent.clouds.failures import CloudFailure
from credagent.clouds.requests import AwsObtained
from credagent.credentials import AwsCredentials, Origin
from credagent.secret import Secret


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


ARN_PARTS = 6
