"""AWS KMS: kms:Encrypt and kms:Decrypt with an encryption context.

The key is named when opening too: without it, AWS KMS takes any key that the ciphertext names and the caller may use.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
"""

import base64
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from credagent.cloud_helper.aws import clients, machine_identity
from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.aws.local_identity import local_session
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import AwsMachineIdentity, KmsDecrypt, KmsEncrypt
from credagent.cloud_helper.job_responses import Ciphertext, Plaintext
from credagent.secret import Secret

ARN_PARTS = 6


def answer(request: KmsDecrypt | KmsEncrypt, arn: str) -> Plaintext | Ciphertext:
    """Close or open. Raises CloudFailure (`not-opened` for another key, another context, or altered bytes)."""
    kms = _client(request.identity, arn)
    context = dict(request.context)
    try:
        if isinstance(request, KmsEncrypt):
            plaintext = base64.b64decode(request.plaintext_base64.reveal())
            closed = kms.encrypt(KeyId=arn, Plaintext=plaintext, EncryptionContext=context)
            return Ciphertext(ciphertext=closed["CiphertextBlob"])
        opened = kms.decrypt(KeyId=arn, CiphertextBlob=request.ciphertext, EncryptionContext=context)
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    return Plaintext(plaintext_base64=Secret(base64.b64encode(opened["Plaintext"]).decode()))


def _client(identity: str, arn: str) -> Any:  # noqa: ANN401  botocore has no types
    parts = arn.split(":", ARN_PARTS - 1)
    if len(parts) != ARN_PARTS or parts[2] != "kms" or not parts[3]:
        raise CloudFailure("key-address")
    region = parts[3]
    if identity == "machine":
        obtained = machine_identity.obtain(AwsMachineIdentity(region=region))
        return clients.client("kms", obtained.credentials, region)
    options = Config(
        connect_timeout=clients.CONNECT_S,
        read_timeout=clients.READ_S,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    return local_session("").create_client("kms", region_name=region, config=options)
