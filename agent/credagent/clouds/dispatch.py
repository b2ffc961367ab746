"""Which job answers which request, and how every exception of an SDK becomes a failure of ours. Runs in the helper."""

from importlib import import_module
from typing import Any

from credagent.clouds.answers import Reply
from credagent.clouds.failures import CloudFailure
from credagent.clouds.wire import Errand, Request

JOBS = {
    "AwsMachineIdentity": ("aws_machine", "the machine's AWS identity"),
    "AwsAssumeRole": ("aws_assume", "the AWS role to assume"),
    "AwsCallerIdentity": ("aws_identity", "the AWS caller's identity"),
    "AwsLocalIdentity": ("aws_local", "the local AWS identity"),
    "GoogleMachineToken": ("google_machine", "the machine's Google service account"),
    "GoogleAuthorizedUserToken": ("google_user", "the Google refresh token"),
    "GoogleImpersonate": ("google_impersonate", "the Google service account to impersonate"),
    "GoogleLocalToken": ("google_local", "the local Google identity"),
    "GoogleLocalRefreshToken": ("google_local", "the local Google refresh token"),
    "KmsDecrypt": ("kms", "the key service"),
    "KmsEncrypt": ("kms", "the key service"),
    "ChannelGet": ("channel", "the channel"),
    "ChannelPut": ("channel", "the channel"),
}
"""Request type: the module whose `answer` serves it, and what a failure is about."""


def run(errand: Errand) -> Reply:
    """Return the answer, or the failure in our words."""
    module, what = JOBS[type(errand.request).__name__]
    try:
        return _answer(module, errand.request)
    except CloudFailure as failure:
        return failure.reply(what)
    except Exception as exc:  # noqa: BLE001  whatever it is, its text must not leave, and its caller needs an answer
        return translated(exc).reply(what)


def _answer(module: str, request: Request) -> Reply:
    job: Any = import_module(f"credagent.clouds.{module}")
    reply: Reply = job.answer(request)
    return reply


def translated(exc: Exception) -> CloudFailure:
    """Return the failure that an SDK's exception is, by its origin."""
    family = type(exc).__module__.partition(".")[0]
    if family in {"botocore", "boto3"}:
        from credagent.clouds.aws_errors import from_botocore

        return from_botocore(exc)
    if family in {"google", "requests", "urllib3"}:
        from credagent.clouds.google_errors import from_google

        return from_google(exc)
    return CloudFailure("helper-defect", type(exc).__name__)
