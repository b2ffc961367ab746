"""Which job answers which request, and how every exception of an SDK becomes a failure of ours. Runs in the helper."""

from importlib import import_module
from typing import Any

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.helper_protocol import HelperJob, Request
from credagent.cloud_helper.job_responses import Reply

JOBS = {
    "AwsMachineIdentity": ("aws.machine_identity", "the machine's AWS identity"),
    "AwsAssumeRole": ("aws.assume_role", "the AWS role to assume"),
    "AwsLocalIdentity": ("aws.local_identity", "the local AWS identity"),
    "GoogleMachineToken": ("google.machine_identity", "the machine's Google service account"),
    "GoogleAuthorizedUserToken": ("google.refresh_token", "the Google refresh token"),
    "GoogleImpersonate": ("google.impersonation", "the Google service account to impersonate"),
    "GoogleLocalToken": ("google.local_identity", "the local Google identity"),
    "GoogleLocalRefreshToken": ("google.local_identity", "the local Google refresh token"),
    "KmsDecrypt": ("kms.kms_jobs", "the key service"),
    "KmsEncrypt": ("kms.kms_jobs", "the key service"),
    "AttestMachine": ("attestation.attestation_jobs", "the attestation of this machine"),
    "AttestSender": ("attestation.attestation_jobs", "the attestation of this sender"),
    "VerifyAttestations": ("attestation.attestation_jobs", "attestations"),
    "ChannelGet": ("channel_storage.storage_jobs", "the channel"),
    "ChannelPut": ("channel_storage.storage_jobs", "the channel"),
}
"""Request type: the module whose `answer` serves it, and what a failure is about."""


def run(job: HelperJob) -> Reply:
    """Return the answer, or the failure in our words."""
    module, what = JOBS[type(job.request).__name__]
    try:
        return _answer(module, job.request)
    except CloudFailure as failure:
        return failure.reply(what)
    except Exception as exc:  # noqa: BLE001  whatever it is, its text must not leave, and its caller needs an answer
        return translated(exc).reply(what)


def _answer(module: str, request: Request) -> Reply:
    serving: Any = import_module(f"credagent.cloud_helper.{module}")
    with progress.asking():
        reply: Reply = serving.answer(request)
    return reply


def translated(exc: Exception) -> CloudFailure:
    """Return the failure that an SDK's exception is, by its origin."""
    family = type(exc).__module__.partition(".")[0]
    if family in {"botocore", "boto3"}:
        from credagent.cloud_helper.aws.errors import from_botocore

        return from_botocore(exc)
    if family in {"google", "requests", "urllib3"}:
        from credagent.cloud_helper.google.errors import from_google

        return from_google(exc)
    return CloudFailure("helper-defect", type(exc).__name__)
