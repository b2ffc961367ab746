"""Google Cloud KMS: encrypt and decrypt with one symmetric key, additional data and checksums included.

https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import google_api
from .cloud import Cloud
from .crc32c import crc32c
from .ledger import Call
from .web import Refused, Request, Response, json_response

PATH = re.compile(r"/v1/(?P<key>projects/[^:]+/cryptoKeys/[^:/]+)(?:/cryptoKeyVersions/\d+)?:(?P<verb>encrypt|decrypt)")
NONCE_BYTES = 12


@dataclass
class Key:
    """`users` are patterns of the principals that may use it."""

    name: str
    secret: bytes
    users: tuple[str, ...] = ("*",)
    enabled: bool = True


class Kms:
    service = "google-kms"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.keys: dict[str, Key] = {}

    def create(self, name: str, users: tuple[str, ...]) -> None:
        self.keys[name] = Key(name, secrets.token_bytes(32), users)

    def operation(self, request: Request) -> str:
        found = PATH.fullmatch(request.path)
        return found["verb"].capitalize() if found else "Unknown"

    def answer(self, request: Request, call: Call) -> Response:
        found = PATH.fullmatch(request.path)
        if found is None or request.method != "POST":
            raise Refused(404, "NOT_FOUND", "Method not found.")
        call.details["key"] = found["key"]
        caller = google_api.bearer(request, self._cloud, call)
        key = self.keys.get(found["key"])
        if key is None or not any(fnmatchcase(caller.principal, user) for user in key.users):
            permission = "useToEncrypt" if found["verb"] == "encrypt" else "useToDecrypt"
            message = f"Permission 'cloudkms.cryptoKeyVersions.{permission}' denied on resource (or it may not exist)."
            raise Refused(403, "PERMISSION_DENIED", message)
        if not key.enabled:
            raise Refused(400, "FAILED_PRECONDITION", f"{key.name}/cryptoKeyVersions/1 is not enabled")
        asked = json.loads(request.body)
        return json_response(_encrypted(key, asked) if found["verb"] == "encrypt" else _decrypted(key, asked))

    def refusal(self, refused: Refused, request: Request) -> Response:
        return google_api.error(refused)


def _encrypted(key: Key, asked: dict[str, Any]) -> dict[str, Any]:
    plaintext, verified = _field(asked, "plaintext")
    additional, additional_verified = _field(asked, "additionalAuthenticatedData")
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = nonce + AESGCM(key.secret).encrypt(nonce, plaintext, additional)
    return {
        "name": f"{key.name}/cryptoKeyVersions/1",
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "ciphertextCrc32c": str(crc32c(ciphertext)),
        "verifiedPlaintextCrc32c": verified,
        "verifiedAdditionalAuthenticatedDataCrc32c": additional_verified,
        "protectionLevel": "SOFTWARE",
    }


def _decrypted(key: Key, asked: dict[str, Any]) -> dict[str, Any]:
    ciphertext, _ = _field(asked, "ciphertext")
    additional, _ = _field(asked, "additionalAuthenticatedData")
    try:
        plaintext = AESGCM(key.secret).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], additional)
    except (InvalidTag, ValueError):
        message = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
        raise Refused(400, "INVALID_ARGUMENT", message) from None
    return {
        "plaintext": base64.b64encode(plaintext).decode(),
        "plaintextCrc32c": str(crc32c(plaintext)),
        "usedPrimary": True,
        "protectionLevel": "SOFTWARE",
    }


def _field(asked: dict[str, Any], name: str) -> tuple[bytes, bool]:
    """The bytes, and whether a checksum came with them; raises Refused where it does not fit."""
    data = base64.b64decode(asked.get(name, ""))
    checksum = asked.get(name + "Crc32c")
    if checksum is not None and int(checksum) != crc32c(data):
        raise Refused(400, "INVALID_ARGUMENT", f"The checksum in field {name}_crc32c did not match the data.")
    return data, checksum is not None
