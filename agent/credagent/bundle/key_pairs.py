"""The keys of senders and recipients: made, read from their text and used. Files, and who is trusted, belong elsewhere.

A private key is 32 bytes in every case; what they mean to each kind is said in `hpke_suites` and RFC 8032.
"""

import hashlib
from collections.abc import Mapping
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from credagent.bundle import base64url, hpke_suites
from credagent.bundle.content_key_wrapping import SENDER_LINE_PREFIX, StanzaKind, WrapContext
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.hpke_suites import SEED_BYTES, Kem
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.bundle.signature import is_of_small_order, verifies
from credagent.errors import ConfigurationError
from credagent.secret import Secret

__all__ = ["Kem", "RecipientPrivateKey", "RecipientPublicKey", "SenderPrivateKey", "SenderPublicKey", "identifier"]

RECIPIENT_LINE_PREFIX = "credagent-recipient:"
RECIPIENT_KEY_PREFIX = "credagent-recipient-key:"
SENDER_KEY_PREFIX = "credagent-sender-key:ed25519:"
ID_BYTES = 16
_KINDS: Mapping[Kem, StanzaKind] = {Kem.X_WING: StanzaKind.X_WING, Kem.X25519: StanzaKind.X25519}


def identifier(raw: bytes) -> bytes:
    """Return the 16 bytes that name a public key, or a KMS key by its reference."""
    return hashlib.sha256(raw).digest()[:ID_BYTES]


class RecipientPublicKey(Struct, frozen=True):
    """A recipient's public key (a KeyWrapper). `raw`: for X-Wing ML-KEM-768 key, then X25519 key; else the latter."""

    kem: Kem
    raw: bytes

    @property
    def kind(self) -> StanzaKind:
        """Return the kind of its stanzas."""
        return _KINDS[self.kem]

    @property
    def recipient_id(self) -> bytes:
        """Return the name of this key in a stanza."""
        return identifier(self.raw)

    @property
    def key_id(self) -> str:
        """Return the name of this key for people."""
        return self.recipient_id.hex()

    @property
    def line(self) -> str:
        """Return the `.pub` line."""
        return f"{RECIPIENT_LINE_PREFIX}{self.kem.value}:{base64url.encode(self.raw)}"

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        """Return the content key sealed to this recipient."""
        try:
            return hpke_suites.wrap(self.kem, content_key, hpke_suites.encapsulator(self.kem, self.raw), context.info)
        except ValueError:
            raise _wrong_key(f"the {self.kem.value} public key {fingerprint(self.key_id)} is not usable") from None

    @classmethod
    def parse(cls, line: str) -> "RecipientPublicKey":
        """Return the key of a `.pub` line, or raise ConfigurationError."""
        name, encoded = _kem_and_bytes(_after(RECIPIENT_LINE_PREFIX, line))
        try:
            hpke_suites.demand_usable(name, encoded)
        except ValueError:
            raise _wrong_key(f"it is not a usable {name.value} public key") from None
        return cls(name, encoded)


class RecipientPrivateKey:
    """A recipient's private key (a KeyOpener). Masked when shown, and not pickled."""

    __slots__ = ("_opener", "_seed", "public_key")

    def __init__(self, of_kem: Kem, seed: bytes) -> None:
        """Expand a 32-byte seed."""
        self._seed = _exactly_32(seed)
        self._opener, raw = hpke_suites.decapsulator(of_kem, seed)
        self.public_key = RecipientPublicKey(of_kem, raw)

    @property
    def kind(self) -> StanzaKind:
        """Return the kind of stanza it opens."""
        return self.public_key.kind

    @property
    def recipient_id(self) -> bytes:
        """Return the name of this key in a stanza."""
        return self.public_key.recipient_id

    @property
    def key_id(self) -> str:
        """Return the name of this key for people."""
        return self.public_key.key_id

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        """Return the content key in `body`, or raise Refused."""
        try:
            return hpke_suites.unwrap(self.public_key.kem, body, self._opener, context.info)
        except ValueError:
            raise refusal(RefusalCode.DOES_NOT_OPEN, "the key wrapped for this machine does not open") from None

    def to_text(self) -> Secret:
        """Return the one line of a `.key` file."""
        return Secret(f"{RECIPIENT_KEY_PREFIX}{self.public_key.kem.value}:{base64url.encode(self._seed)}")

    @classmethod
    def parse(cls, text: Secret) -> "RecipientPrivateKey":
        """Return the key of a `.key` file's text, or raise ConfigurationError."""
        return cls(*_kem_and_bytes(_after(RECIPIENT_KEY_PREFIX, text.reveal())))

    @classmethod
    def generate(cls, of_kem: Kem = Kem.X_WING) -> "RecipientPrivateKey":
        """Return a new key."""
        return cls(of_kem, AESGCM.generate_key(bit_length=8 * SEED_BYTES))  # 32 bytes of the system's generator

    def __repr__(self) -> str:
        """Show which key this is, and nothing of it."""
        return f"RecipientPrivateKey({self.key_id}, ***)"

    def __reduce__(self) -> NoReturn:
        """Raise TypeError: pickled, a private key could leave this process unnoticed."""
        raise TypeError("a private key is not pickled")


class SenderPublicKey(Struct, frozen=True):
    """A sender's public key, which verifies its signatures: raw Ed25519."""

    raw: bytes

    @property
    def key_id(self) -> str:
        """Return the name of this key."""
        return identifier(self.raw).hex()

    @property
    def line(self) -> str:
        """Return the `.pub` line."""
        return SENDER_LINE_PREFIX + base64url.encode(self.raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` over `message` is of this key (RFC 8032)."""
        return verifies(self.raw, signature, message)

    @classmethod
    def parse(cls, line: str) -> "SenderPublicKey":
        """Return the key of a `.pub` line, or raise ConfigurationError."""
        raw = _exactly_32(_bytes(_after(SENDER_LINE_PREFIX, line)))
        if is_of_small_order(raw):
            raise _wrong_key("it is a point of small order, for which anybody can sign")
        return cls(raw)


class SenderPrivateKey:
    """A sender's private key, which signs envelopes. Masked when shown, and not pickled."""

    __slots__ = ("_signer", "public_key")

    def __init__(self, seed: bytes) -> None:
        """Use a 32-byte Ed25519 private key (RFC 8032)."""
        self._signer = Ed25519PrivateKey.from_private_bytes(_exactly_32(seed))
        self.public_key = SenderPublicKey(self._signer.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        """Return the name of this key."""
        return self.public_key.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the signature over `message`."""
        return self._signer.sign(message)

    def to_text(self) -> Secret:
        """Return the one line of a `.key` file."""
        return Secret(SENDER_KEY_PREFIX + base64url.encode(self._signer.private_bytes_raw()))

    @classmethod
    def parse(cls, text: Secret) -> "SenderPrivateKey":
        """Return the key of a `.key` file's text, or raise ConfigurationError."""
        return cls(_bytes(_after(SENDER_KEY_PREFIX, text.reveal())))

    @classmethod
    def generate(cls) -> "SenderPrivateKey":
        """Return a new key."""
        return cls(AESGCM.generate_key(bit_length=8 * SEED_BYTES))

    def __repr__(self) -> str:
        """Show which key this is, and nothing of it."""
        return f"SenderPrivateKey({self.key_id}, ***)"

    def __reduce__(self) -> NoReturn:
        """Raise TypeError: pickled, a private key could leave this process unnoticed."""
        raise TypeError("a private key is not pickled")


def _after(prefix: str, text: str) -> str:
    """Return what follows `prefix` on the one line of `text`. Errors never quote it: it may be a private key."""
    line = text.strip()
    if not line.startswith(prefix):
        raise _wrong_key(f"it does not begin with {prefix}")
    return line.removeprefix(prefix)


def _kem_and_bytes(text: str) -> tuple[Kem, bytes]:
    name, _, encoded = text.partition(":")
    try:
        return Kem(name), _bytes(encoded)
    except ValueError:
        raise _wrong_key("it names neither x-wing nor x25519") from None


def _bytes(encoded: str) -> bytes:
    try:
        return base64url.decode(encoded)
    except ValueError:
        raise _wrong_key("what follows its prefix is not base64url") from None


def _exactly_32(raw: bytes) -> bytes:
    if len(raw) != SEED_BYTES:
        raise _wrong_key(f"it does not hold {SEED_BYTES} bytes")
    return raw


def _wrong_key(why: str) -> ConfigurationError:
    hint = "give the one line that `credagent keygen` wrote: the .pub file to others, the .key file to its owner"
    return ConfigurationError("wrong-key", why, what="not a key", hint=hint)
