"""The machine's own AWS identity: web identity, else container credentials, else instance metadata.

What is configured and fails is a failure. Going on to the next, as some SDKs do, would hand workers a role that nobody
chose for them.
"""

import os

from msgspec import structs

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import AwsMachineIdentity
from credagent.cloud_helper.job_responses import AwsObtained, Notice

CONTAINER_VARIABLES = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


def answer(request: AwsMachineIdentity) -> AwsObtained:
    """Return credentials and, where STS says so in time, their principal. Raises CloudFailure."""
    obtained = obtain(request)
    known = bool(obtained.principal) or (bool(obtained.role) and obtained.role == request.known_role)
    return obtained if known else with_principal(obtained)


def obtain(request: AwsMachineIdentity) -> AwsObtained:
    """Return credentials from the first source that is configured. Raises CloudFailure."""
    region = request.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and os.environ.get("AWS_ROLE_ARN"):
        with progress.preparing():
            from credagent.cloud_helper.aws import web_identity

        return web_identity.obtain(region)
    if any(os.environ.get(name) for name in CONTAINER_VARIABLES):
        with progress.preparing():
            from credagent.cloud_helper.aws import container_credentials

        return container_credentials.obtain(region)
    with progress.preparing():
        from credagent.cloud_helper.aws import instance_metadata

    return instance_metadata.obtain(region)


def with_principal(obtained: AwsObtained) -> AwsObtained:
    """Return the same with its principal, if STS answers soon and says who this is."""
    with progress.preparing():
        from credagent.cloud_helper.aws.caller_identity import caller_if_told
        from credagent.cloud_helper.aws.clients import FALLBACK_REGION

    told = caller_if_told(obtained.credentials, obtained.credentials.region or FALLBACK_REGION)
    if isinstance(told, CloudFailure):
        unknown = Notice(code="principal-unknown", why=f"STS did not say whose credentials these are: {told.code}")
        return structs.replace(obtained, notices=(*obtained.notices, unknown))
    skew_s = told.skew_s if obtained.skew_s is None else obtained.skew_s
    return structs.replace(obtained, principal=told.arn, account=told.account, skew_s=skew_s)
