"""What the published vectors are made of: keys that anybody may know, letters, and envelopes in pieces.

Keys, clock, ids and contents come out the same each time. HPKE's own randomness does not: `cryptography` offers no way
to fix it, so that the files are made once and kept.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from credagent.bundle import base64url, canonical_json, validation
from credagent.bundle.content_key_wrapping import KeyWrapper, StanzaKind, WrapContext
from credagent.bundle.contents import SLOT_OF_GRANT as SLOTS
from credagent.bundle.contents import AwsSessionGrant, Bundle, EnvironmentGrant, GoogleAccessTokenGrant, Grant
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.kms_reference import KmsReference, parse_kms_reference
from credagent.bundle.timestamps import microseconds_of, text_of
from credagent.credentials import Slot, Statement
from credagent.secret import Secret

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AUDIENCE = "cluster-a"


def fixed(name: str, size: int = 32) -> bytes:
    """Return bytes that look random and are the same each time."""
    return hashlib.shake_256(b"credagent test vector: " + name.encode()).digest(size)


SENDER = SenderPrivateKey(fixed("sender"))
OTHER_SENDER = SenderPrivateKey(fixed("other sender"))
MACHINE = RecipientPrivateKey(Kem.X_WING, fixed("machine"))
MACHINE_X25519 = RecipientPrivateKey(Kem.X25519, fixed("machine x25519"))
STRANGER = RecipientPrivateKey(Kem.X_WING, fixed("stranger"))
STRANGER_X25519 = RecipientPrivateKey(Kem.X25519, fixed("stranger x25519"))


class PlayKms:
    """Stands for a key that a cloud holds: hands out a body, and remembers what it was asked for."""

    def __init__(self, reference: str) -> None:
        self.reference: KmsReference = parse_kms_reference(reference)
        self.answers: dict[str, Any] = {}

    @property
    def kind(self) -> StanzaKind:
        return self.reference.kind

    @property
    def recipient_id(self) -> bytes:
        return self.reference.recipient_id

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        body = fixed("kms body " + self.reference.text, 184)
        self.answers = {"reference": self.reference.text, "body": body.hex(), "content_key": content_key.hex()}
        if self.kind is StanzaKind.AWS_KMS:
            self.answers["encryption_context"] = context.encryption_context
        else:
            self.answers["associated_data"] = context.info.hex()
        return body


def aws_session(**changes: Any) -> AwsSessionGrant:
    """Return a forwarded session that ends in an hour."""
    fields: dict[str, Any] = {
        "access_key_id": "ASIATESTVECTOR000001",
        "secret_access_key": Secret("test/vector+secret0000000000000000000000"),
        "session_token": Secret("FwoGZXIvYXdzTEST" + "0123456789abcdef" * 20),
        "expires_at": NOW + timedelta(hours=1),
    }
    return AwsSessionGrant(**{**fields, **changes})


def google_token(**changes: Any) -> GoogleAccessTokenGrant:
    """Return a Google access token that ends in 55 minutes."""
    fields: dict[str, Any] = {"access_token": Secret("ya29.test-vector"), "expires_at": NOW + timedelta(minutes=55)}
    return GoogleAccessTokenGrant(**{**fields, **changes})


def variables(**values: str) -> EnvironmentGrant:
    """Return custom variables."""
    return EnvironmentGrant(variables={name: Secret(value) for name, value in values.items()})


def letter(*grants: Grant, **changes: Any) -> Bundle:
    """Return a bundle made at NOW: granted is what is given, *declined* the rest."""
    granted = {SLOTS[type(grant)] for grant in grants}
    fields: dict[str, Any] = {
        "bundle_id": fixed("bundle", 16).hex(),
        "sequence": microseconds_of(changes.get("issued_at", NOW)),
        "audience": AUDIENCE,
        "issued_at": NOW,
        "not_after": validation.last_end(grants) or NOW + timedelta(days=30),
        "slots": {slot: Statement.GRANTED if slot in granted else Statement.DECLINED for slot in Slot},
        "grants": grants,
    }
    return Bundle(**{**fields, **changes})


def document(bundle: Bundle) -> dict[str, Any]:
    """Return the plaintext as a JSON value, to be bent."""
    decoded: dict[str, Any] = json.loads(canonical_json.encode(bundle))
    return decoded


def dumped(value: object) -> bytes:
    """Return the canonical form of a JSON value, sound or not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Draft(Struct, kw_only=True):
    """An envelope in pieces. Each can be replaced by something wrong before it is put together and signed."""

    signer: SenderPrivateKey
    sender: bytes
    audience: bytes
    audience_length: int
    bundle_id: bytes
    sequence: int
    issued: int
    ends: int
    stanzas: list[bytes]
    plaintext: bytes
    content_key: bytes
    version: int = 1
    count: int | None = None
    nonce: bytes = bytes(12)
    content: bytes | None = None
    content_length: int | None = None
    tail: bytes = b""
    domain: bytes = b"credagent-bundle:1 signature\x00"

    @property
    def sealed(self) -> bytes:
        """Return what precedes the content's length."""
        numbers = b"".join(number.to_bytes(8, "big") for number in (self.sequence, self.issued, self.ends))
        count = len(self.stanzas) if self.count is None else self.count
        start = bytes((self.version,)) + self.sender + bytes((self.audience_length,)) + self.audience
        return start + self.bundle_id + numbers + bytes((count,)) + b"".join(self.stanzas)

    @property
    def binary(self) -> bytes:
        """Return the envelope, signed."""
        content = self.content
        if content is None:
            content = AESGCM(self.content_key).encrypt(self.nonce, self.plaintext, self.sealed)
        length = len(content) if self.content_length is None else self.content_length
        signed = self.sealed + length.to_bytes(4, "big") + content
        return signed + self.signer.sign(self.domain + signed) + self.tail

    @property
    def text(self) -> str:
        """Return the envelope as text."""
        return text_of_binary(self.binary)


def text_of_binary(binary: bytes) -> str:
    """Return any bytes as an envelope's text."""
    return "credagent-bundle:1:" + base64url.encode(binary)


def draft(bundle: Bundle, *recipients: KeyWrapper, signer: SenderPrivateKey = SENDER) -> Draft:
    """Return a sound envelope in pieces, sealed to `recipients`, else to MACHINE."""
    content_key = fixed("content key")
    sender = signer.public_key.raw
    wrapped = [
        stanza(recipient, content_key, bundle.audience, sender) for recipient in recipients or (MACHINE.public_key,)
    ]
    return Draft(
        signer=signer,
        sender=sender,
        audience=bundle.audience.encode(),
        audience_length=len(bundle.audience.encode()),
        bundle_id=bytes.fromhex(bundle.bundle_id),
        sequence=bundle.sequence,
        issued=microseconds_of(bundle.issued_at),
        ends=microseconds_of(bundle.not_after),
        stanzas=sorted(wrapped, key=lambda stanza: stanza[:17]),
        plaintext=canonical_json.encode(bundle),
        content_key=content_key,
    )


def stanza(recipient: KeyWrapper, content_key: bytes, audience: str, sender: bytes, *, bound_to: int = 0) -> bytes:
    """Return a stanza in its binary form; `bound_to` binds it as if it were of another kind."""
    kind = StanzaKind(bound_to or recipient.kind)
    context = WrapContext(kind=kind, recipient_id=recipient.recipient_id, audience=audience, sender=sender)
    return raw_stanza(recipient.kind, recipient.recipient_id, recipient.wrap(content_key, context))


def raw_stanza(kind: int, recipient_id: bytes, body: bytes) -> bytes:
    """Return a stanza of any content."""
    return bytes((kind,)) + recipient_id + len(body).to_bytes(2, "big") + body


class Case(Struct, kw_only=True):
    """One vector before it is written: the text, the machine where it differs from the usual one, the outcome."""

    description: str
    text: str
    outcome: str
    code: str = ""
    step: int = 0
    plaintext: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] = {}
    now: datetime = NOW
    reading: str = "delivery"


def refused(step: int, code: str, description: str, text: str, **more: Any) -> Case:
    """Return a case that fails at `step` of FORMAT.md section 7."""
    return Case(description=description, text=text, outcome="refused", code=code, step=step, **more)


MACHINE_FIELDS: Mapping[str, Any] = {
    "audience": AUDIENCE,
    "max_age_s": 86_400,
    "admit_long_term": False,
    "admit_refresh_token": False,
    "allow": [],
    "trusted_senders": [SENDER.public_key.line],
    "recipient_keys": [MACHINE.to_text().reveal(), MACHINE_X25519.to_text().reveal()],
    "keys_are_own": False,
    "kms": [],
    "marks": {},
    "in_force": None,
}


def marks(*entries: tuple[SenderPrivateKey, int, str]) -> dict[str, Any]:
    """Return `machine.marks`."""
    return {sender.key_id: {"sequence": sequence, "digest": digest} for sender, sequence, digest in entries}


def in_force(sender: SenderPrivateKey, issued_at: datetime, digest: str) -> dict[str, Any]:
    """Return `machine.in_force`."""
    return {"sender": sender.public_key.line, "issued_at": text_of(issued_at), "digest": digest}


def digest(text: str) -> str:
    """Return the digest of an envelope's text, without looking into it."""
    return hashlib.sha256(base64url.decode(text.rpartition(":")[2].rstrip("\n"))).hexdigest()


def all_keys(recipients: Sequence[RecipientPrivateKey]) -> list[str]:
    """Return `machine.recipient_keys`."""
    return [key.to_text().reveal() for key in recipients]
