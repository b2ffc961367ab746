"""A second implementation of the reading side, written from FORMAT.md alone: nothing of credagent is imported.

HPKE and X-Wing are spelt out from RFC 9180 and the X-Wing draft, on `cryptography`'s primitives, so that the vectors do
not merely show that a program agrees with itself. The judgements are in `second_judge`.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LIMIT = 2**53
BODIES = {1: (1168, 1168), 2: (80, 80), 3: (1, 6144), 4: (1, 6144)}
X_WING, DHKEM_X25519 = 0x647A, 0x0020


class Fails(Exception):
    """A failure: its step and class in section 7."""

    def __init__(self, step: int, code: str) -> None:
        super().__init__(f"{code} at step {step}")
        self.step, self.code = step, code


P25519 = 2**255 - 19
EIGHTH = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
SMALL_ORDER = {0, 1, P25519 - 1, EIGHTH, P25519 - EIGHTH}


@dataclass
class Read:
    """An envelope in pieces (section 2)."""

    binary: bytes
    sender: bytes
    audience: str
    bundle_id: str
    sequence: int
    issued: int
    ends: int
    stanzas: list[tuple[int, bytes, bytes]]
    sealed: bytes
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.binary).hexdigest()


def short_id(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:16]


def from_base64url(text: str) -> bytes:
    if not re.fullmatch("[A-Za-z0-9_-]*", text, re.ASCII) or len(text) % 4 == 1:
        raise Fails(1, "malformed")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise Fails(1, "malformed")
    return data


def read_text(text: str) -> Read:
    """Step 1 of section 7."""
    line = text.removesuffix("\n")
    if not line.strip():
        raise Fails(1, "empty")
    if len(line.encode()) > 131_072:
        raise Fails(1, "too-large")
    match = re.match("credagent-bundle:([0-9]+):", line)
    if match is None:
        raise Fails(1, "not-an-envelope")
    if match[1] != "1":
        raise Fails(1, "unknown-version")
    return read_binary(from_base64url(line[match.end() :]))


class Pieces:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            raise Fails(1, "malformed")
        return self.data[self.at - count : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.bytes(width), "big")


def read_binary(data: bytes) -> Read:
    pieces = Pieces(data)
    if pieces.number(1) != 1:
        raise Fails(1, "unknown-version")
    sender = pieces.bytes(32)
    audience = pieces.bytes(pieces.number(1)).decode("utf-8", "surrogateescape")
    bundle_id = pieces.bytes(16).hex()
    sequence, issued, ends = (pieces.number(8) for _ in range(3))
    stanzas = [(pieces.number(1), pieces.bytes(16), pieces.bytes(pieces.number(2))) for _ in range(pieces.number(1))]
    sealed = data[: pieces.at]
    content = pieces.bytes(pieces.number(4))
    pieces.bytes(64)
    order = [(kind, name) for kind, name, _ in stanzas]
    sound = (
        pieces.at == len(data)
        and not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", audience)
        and audience != ""
        and 0 < sequence < LIMIT
        and issued < ends < LIMIT
        and 1 <= len(stanzas) <= 64
        and all(kind in BODIES and BODIES[kind][0] <= len(body) <= BODIES[kind][1] for kind, _, body in stanzas)
        and order == sorted(order)
        and len({name for _, name in order}) == len(order)
        and len(content) >= 16
    )
    if not sound:
        raise Fails(1, "malformed")
    return Read(data, sender, audience, bundle_id, sequence, issued, ends, stanzas, sealed, content)


def check_signature(read: Read) -> None:
    """Step 2."""
    if int.from_bytes(read.sender, "little") % 2**255 % P25519 in SMALL_ORDER:
        raise Fails(2, "bad-signature")
    signed = b"credagent-bundle:1 signature\x00" + read.binary[:-64]
    try:
        Ed25519PublicKey.from_public_bytes(read.sender).verify(read.binary[-64:], signed)
    except (InvalidSignature, ValueError):
        raise Fails(2, "bad-signature") from None


@dataclass
class Key:
    """A recipient's private key, as its `.key` line says it."""

    kind: int
    public: bytes
    curve: X25519PrivateKey
    lattice: MLKEM768PrivateKey | None = None

    @classmethod
    def of(cls, line: str) -> "Key":
        _, kem, encoded = line.split(":")
        seed = from_base64url(encoded)
        if kem == "x25519":
            curve = X25519PrivateKey.from_private_bytes(seed)
            return cls(2, curve.public_key().public_bytes_raw(), curve)
        expanded = hashlib.shake_256(seed).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        return cls(1, lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw(), curve, lattice)


def content_key(read: Read, keys: list[str], kms: list[dict[str, Any]]) -> bytes:
    """Step 5, sections 3 and 6."""
    for key in map(Key.of, keys):
        for kind, name, body in read.stanzas:
            if (kind, name) == (key.kind, short_id(key.public)):
                return hpke_open(key, body, bound(read, kind, name))
    for held in kms:
        for kind, name, body in read.stanzas:
            if (kind, name) == (
                {"aws-kms": 3, "gcp-kms": 4}[held["reference"][:7]],
                short_id(held["reference"].encode()),
            ):
                return kms_open(read, held, kind, body)
    raise Fails(5, "not-for-this-machine")


def bound(read: Read, kind: int, name: bytes) -> bytes:
    audience = read.audience.encode()
    return b"credagent-bundle:1 key\x00" + bytes([kind]) + read.sender + name + bytes([len(audience)]) + audience


def kms_open(read: Read, held: dict[str, Any], kind: int, body: bytes) -> bytes:
    line = "credagent-sender:ed25519:" + base64.urlsafe_b64encode(read.sender).decode().rstrip("=")
    context = {
        "credagent:audience": read.audience,
        "credagent:format": "credagent-bundle:1",
        "credagent:sender": line,
    }
    asked = context if kind == 3 else bound(read, kind, short_id(held["reference"].encode())).hex()
    if body.hex() != held["body"] or asked != held.get("encryption_context", held.get("associated_data")):
        raise Fails(5, "does-not-open")
    return bytes.fromhex(held["content_key"])


def hpke_open(key: Key, body: bytes, info: bytes) -> bytes:
    """RFC 9180 section 5.1.1 and 6.1, base mode."""
    split, kem = (1120, X_WING) if key.lattice else (32, DHKEM_X25519)
    enc, ciphertext = body[:split], body[split:]
    try:
        shared = x_wing_shared(key, enc) if key.lattice else dhkem_shared(key, enc)
        suite = b"HPKE" + kem.to_bytes(2, "big") + b"\x00\x01" + b"\x00\x02"
        context = b"\x00" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
        secret = extract(suite, shared, b"secret", b"")
        aead = AESGCM(expand(suite, secret, b"key", context, 32))
        return aead.decrypt(expand(suite, secret, b"base_nonce", context, 12), ciphertext, b"")
    except (InvalidTag, ValueError):
        raise Fails(5, "does-not-open") from None


def x_wing_shared(key: Key, enc: bytes) -> bytes:
    """Combine as in draft-connolly-cfrg-xwing-kem section 5.3."""
    assert key.lattice is not None
    of_lattice = key.lattice.decapsulate(enc[:1088])
    of_curve = key.curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return hashlib.sha3_256(of_lattice + of_curve + enc[1088:] + key.public[1184:] + b"\\.//^\\").digest()


def dhkem_shared(key: Key, enc: bytes) -> bytes:
    """RFC 9180 section 4.1."""
    suite = b"KEM\x00\x20"
    exchanged = key.curve.exchange(X25519PublicKey.from_public_bytes(enc))
    return expand(suite, extract(suite, b"", b"eae_prk", exchanged), b"shared_secret", enc + key.public, 32)


def extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + material, "sha256")


def expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labelled + b"\x01", "sha256")[:length]


def decrypt(read: Read, key: bytes) -> bytes:
    """Section 4."""
    try:
        if len(key) != 32:
            raise Fails(5, "does-not-open")
        return AESGCM(key).decrypt(bytes(12), read.content, read.sealed)
    except InvalidTag:
        raise Fails(5, "does-not-open") from None
