"""What an attestation is bound to, in one canonical form. Its time is the proof's own: the cloud signs or dates it."""

import hashlib
from enum import Enum

from msgspec import Struct

from credagent.bundle import base64url

DOMAIN = b"credagent-attestation:1 binding\x00"


class Purpose(Enum):
    """What the key is for; the value is its one byte in the binding."""

    RECIPIENT = 1
    SENDER = 2


class KeyStatement(Struct, frozen=True, kw_only=True):
    """What is claimed: that whoever makes the proof holds `key_line`, for `audience`, for `purpose`.

    `key_line` is the `.pub` line of the key. A machine's audience is that of its agent, empty where that has none, and
    its `sequence` 0; a sender's are those of the bundle that the attestation travels with.
    """

    purpose: Purpose
    key_line: str
    audience: str
    sequence: int = 0

    @property
    def binding(self) -> str:
        """Return the digest that a proof carries: SHA-256 in base64url, 43 characters."""
        key, audience = self.key_line.encode("ascii"), self.audience.encode()
        parts = (
            bytes((self.purpose.value,)),
            len(key).to_bytes(2, "big") + key,
            len(audience).to_bytes(2, "big") + audience,
            self.sequence.to_bytes(8, "big"),
        )
        return base64url.encode(hashlib.sha256(DOMAIN + b"".join(parts)).digest())
