"""A content key, closed or opened by the key service that its address names. Runs in the helper."""

from credagent.clouds.answers import Ciphertext, Plaintext
from credagent.clouds.failures import CloudFailure
from credagent.clouds.requests import KmsDecrypt, KmsEncrypt

AWS, GOOGLE = "aws-kms:", "gcp-kms:"


def answer(request: KmsDecrypt | KmsEncrypt) -> Plaintext | Ciphertext:
    """Ask AWS KMS or Google KMS. Raises CloudFailure."""
    if request.key.startswith(AWS):
        from credagent.clouds import kms_aws

        return kms_aws.answer(request, request.key.removeprefix(AWS))
    if request.key.startswith(GOOGLE):
        from credagent.clouds import kms_google

        return kms_google.answer(request, request.key.removeprefix(GOOGLE))
    raise CloudFailure("key-address")
