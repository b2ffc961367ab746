"""A role, assumed by the machine's own identity or by a forwarded session (sts:AssumeRole, regional endpoint).

Whether this machine may be used for this role is the caller's rule, not this module's.
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import structs

from credagent.cloud_helper.aws import machine_identity
from credagent.cloud_helper.aws.clients import client
from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.aws.sts_session import session_from, session_name
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import AwsAssumeRole, AwsMachineIdentity
from credagent.cloud_helper.job_responses import AwsObtained, Notice
from credagent.credentials import Origin

CHAINED_S = 3600  # a role that was assumed by a role lives an hour at most
SHORTEST_S, LONGEST_S = 900, 43_200


def answer(request: AwsAssumeRole) -> AwsObtained:
    """Return the role's session; one shorter than asked for is as good, and ends when it says. Raises CloudFailure."""
    base = request.session or machine_identity.obtain(AwsMachineIdentity(region=request.region)).credentials
    if base.expires_at is not None and base.expires_at <= datetime.now(UTC):
        raise CloudFailure("expired-token", "the forwarded session")
    region = request.region or base.region
    sts = client("sts", base, region)
    # A machine's identity is a role already; a person's session may not be one, and STS knows.
    asked_s = min(max(request.duration_s, SHORTEST_S), CHAINED_S if request.session is None else LONGEST_S)
    response, granted_s = _assumed(sts, _parameters(request), asked_s)
    obtained = session_from(response, region=region, origin=Origin.ASSUMED_ROLE, method="assume-role")
    if granted_s < request.duration_s:
        why = f"the session was asked for {request.duration_s} s and can be had for {granted_s} s (role chaining)"
        return structs.replace(obtained, notices=(*obtained.notices, Notice(code="duration-shortened", why=why)))
    return obtained


def _assumed(sts: Any, parameters: Mapping[str, object], asked_s: int) -> tuple[Any, int]:  # noqa: ANN401  botocore has no types
    """Ask for as long as is wanted, and where STS finds that invalid once more for an hour."""
    try:
        return sts.assume_role(**parameters, DurationSeconds=asked_s), asked_s
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") != "ValidationError" or asked_s <= CHAINED_S:
            raise from_botocore(exc) from exc
    except BotoCoreError as exc:
        raise from_botocore(exc) from exc
    try:
        return sts.assume_role(**parameters, DurationSeconds=CHAINED_S), CHAINED_S
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc


def _parameters(request: AwsAssumeRole) -> dict[str, object]:
    """Return STS's parameters, without those that are not set: an empty external id is another one than none.

    Tags are never transitive: a bundle could otherwise mark sessions beyond the role that the configuration lists.
    """
    optional: dict[str, object] = {
        "ExternalId": request.external_id,
        "Policy": request.policy,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(request.tags.items())],
    }
    return {
        "RoleArn": request.role_arn,
        "RoleSessionName": session_name(request.session_name),
        **{name: value for name, value in optional.items() if value},
    }
