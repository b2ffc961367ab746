"""How a content key reaches one recipient: the kinds of stanza, what binds one to its envelope, and who opens it.

Keys of this machine are in `keys`. Keys that a cloud holds are opened elsewhere, through the Protocols here: this
package never talks to anybody.
"""

from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from credagent.bundle import base64url

KEY_BYTES = 32  # the content key: AES-256
FORMAT_NAME = "credagent-bundle:1"
SENDER_LINE_PREFIX = "credagent-sender:ed25519:"


class StanzaKind(IntEnum):
    """How a stanza's content key is wrapped; its number in an envelope."""

    X_WING = 1
    X25519 = 2
    AWS_KMS = 3
    GCP_KMS = 4


class WrapContext(Struct, frozen=True, kw_only=True):
    """What a wrapped key is bound to, so that a stanza cut out of one envelope opens in no other.

    `sender` is the raw Ed25519 public key of the sender.
    """

    kind: StanzaKind
    recipient_id: bytes
    audience: str
    sender: bytes

    @property
    def info(self) -> bytes:
        """Return HPKE's `info` (RFC 9180 section 8.1); Google KMS takes it as additional authenticated data."""
        audience = self.audience.encode()
        return b"".join(
            (
                FORMAT_NAME.encode(),
                b" key\x00",
                bytes((self.kind,)),
                self.sender,
                self.recipient_id,
                bytes((len(audience),)),
                audience,
            )
        )

    @property
    def encryption_context(self) -> dict[str, str]:
        """Return AWS KMS's encryption context; it appears in clear in CloudTrail, and key policies can test it."""
        return {
            "credagent:audience": self.audience,
            "credagent:format": FORMAT_NAME,
            "credagent:sender": SENDER_LINE_PREFIX + base64url.encode(self.sender),
        }


class KeyOpener(Protocol):
    """A recipient's private key, or the right to use one that a KMS holds.

    `open_stanza` returns the 32 bytes of the content key. It raises `Refused("does-not-open")` where the body is not
    what `context` says (another attempt cannot help), and `Unavailable` where the holder of the key cannot be asked or
    does not answer now (the envelope says nothing about it). It raises nothing else, and no text it raises has a value.
    """

    @property
    def kind(self) -> StanzaKind:
        """Say which kind of stanza this key opens."""
        ...

    @property
    def recipient_id(self) -> bytes:
        """Say which 16 bytes name this key in a stanza."""
        ...

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        """Return the content key in `body`."""
        ...


class KeyWrapper(Protocol):
    """A recipient's public key, or the right to encrypt with one that a KMS holds.

    `wrap` returns the stanza's body. It raises `ConfigurationError("wrong-key")` where the key is not usable, and
    `Unavailable` where its holder cannot be asked.
    """

    @property
    def kind(self) -> StanzaKind:
        """Say which kind of stanza this key makes."""
        ...

    @property
    def recipient_id(self) -> bytes:
        """Say which 16 bytes name this key in a stanza."""
        ...

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        """Return the body of a stanza for this recipient."""
        ...
