"""Google KMS: encrypt and decrypt with additional authenticated data, both ways checked by CRC-32C.

https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt and
https://cloud.google.com/kms/docs/data-integrity-guidelines
"""

import base64
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.job_requests import KmsDecrypt, KmsEncrypt
from credagent.cloud_helper.job_responses import Ciphertext, Plaintext
from credagent.cloud_helper.kms.crc32c import crc32c
from credagent.secret import Secret

ENDPOINT = "https://cloudkms.googleapis.com"
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"  # gcloud's own, for private endpoints
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
NAME = re.compile(r"projects/[\w:.-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+", re.ASCII)

MEANINGS: Mapping[str, str] = {"not-found": "key-not-found", "precondition-failed": "key-disabled"}


def answer(request: KmsDecrypt | KmsEncrypt, name: str) -> Plaintext | Ciphertext:
    """Close or open. Raises CloudFailure."""
    if not NAME.fullmatch(name):
        raise CloudFailure("key-address")
    if isinstance(request, KmsEncrypt):
        plaintext = base64.b64decode(request.plaintext_base64.reveal())
        return Ciphertext(
            ciphertext=_asked(request, name, "encrypt", given="plaintext", data=plaintext, wanted="ciphertext")
        )
    opened = _asked(request, name, "decrypt", given="ciphertext", data=request.ciphertext, wanted="plaintext")
    return Plaintext(plaintext_base64=Secret(base64.b64encode(opened).decode()))


def _asked(request: KmsDecrypt | KmsEncrypt, name: str, verb: str, *, given: str, data: bytes, wanted: str) -> bytes:
    transport = AuthTransport()
    body = {
        **_checked(given, data),
        **_checked("additionalAuthenticatedData", request.associated_data),
    }
    base = os.environ.get(ENDPOINT_VARIABLE, "").rstrip("/") or ENDPOINT
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_token(request.identity, transport)}"}
    try:
        response = transport(f"{base}/v1/{name}:{verb}", "POST", json.dumps(body).encode(), headers)
    except CloudFailure as failure:
        raise _meant(failure, verb) from failure
    return _field(response.data, wanted)


def _checked(name: str, data: bytes) -> dict[str, str]:
    return {name: base64.b64encode(data).decode(), f"{name}Crc32c": str(crc32c(data))}


def _field(answered: bytes, name: str) -> bytes:
    try:
        document: Any = json.loads(answered)
        data = base64.b64decode(document[name], validate=True)
        whole = int(document[f"{name}Crc32c"]) == crc32c(data)
    except (KeyError, TypeError, ValueError) as exc:
        raise CloudFailure("malformed-answer", type(exc).__name__) from exc
    if not whole:
        raise CloudFailure("malformed-answer", "its checksum does not fit")
    return data


def _meant(failure: CloudFailure, verb: str) -> CloudFailure:
    """Return what a refusal means of a key."""
    if failure.code == "request-refused" and verb == "decrypt":  # INVALID_ARGUMENT: what does not open
        return CloudFailure("not-opened")
    meaning = MEANINGS.get(failure.code)
    return CloudFailure(meaning) if meaning else failure


def _token(identity: str, transport: AuthTransport) -> str:
    if identity == "machine":
        with progress.preparing():
            from credagent.cloud_helper.google.machine_identity import machine_credentials

        return str(machine_credentials(transport, (SCOPE,)).token)
    with progress.preparing():
        from credagent.cloud_helper.google.local_identity import found
        from credagent.cloud_helper.google.tokens import refresh

    credentials, _ = found(transport, (SCOPE,))
    refresh(credentials, transport)
    return str(credentials.token)
