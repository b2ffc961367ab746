"""A content key, closed or opened by the key service that its address names. Runs in the helper."""

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import KmsDecrypt, KmsEncrypt
from credagent.cloud_helper.job_responses import Ciphertext, Plaintext

AWS, GOOGLE = "aws-kms:", "gcp-kms:"


def answer(request: KmsDecrypt | KmsEncrypt) -> Plaintext | Ciphertext:
    """Ask AWS KMS or Google KMS. Raises CloudFailure."""
    if request.key.startswith(AWS):
        with progress.preparing():
            from credagent.cloud_helper.kms import aws_kms

        return aws_kms.answer(request, request.key.removeprefix(AWS))
    if request.key.startswith(GOOGLE):
        with progress.preparing():
            from credagent.cloud_helper.kms import google_kms

        return google_kms.answer(request, request.key.removeprefix(GOOGLE))
    raise CloudFailure("key-address")
