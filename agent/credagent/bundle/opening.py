"""Envelope to bundle: stanza, content, and the agreement of header and plaintext. Trust is judged elsewhere.

The order is the caller's duty: `envelope.parse`, `verify_signature`, admission's first stage, and only then opening.
"""

from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from credagent.bundle.content_key_wrapping import KEY_BYTES, KeyOpener, StanzaKind, WrapContext
from credagent.bundle.contents import Bundle
from credagent.bundle.decoder import decode
from credagent.bundle.envelope import Envelope, Header, Stanza
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.errors import Unavailable

CONTENT_NONCE = bytes(12)  # each content key encrypts one content and never another: see FORMAT.md section 4


class Opened(Struct, frozen=True, kw_only=True):
    """A bundle, and the key that opened it (admission asks whether that one is this machine's own)."""

    bundle: Bundle
    recipient_id: bytes


def open_envelope(envelope: Envelope, keys: Iterable[KeyOpener]) -> Bundle:
    """Return the bundle inside; see `open_by`."""
    return open_by(envelope, keys).bundle


def open_by(envelope: Envelope, keys: Iterable[KeyOpener]) -> Opened:
    """Open with the first of `keys` that can be had.

    Raises NotForThisMachine where no stanza is for any of them, Refused where one is and does not open or the content
    is not sound, Unavailable where a KMS holds the only keys and none can be asked now.
    """
    absent: Unavailable | None = None
    for key in keys:
        stanza = stanza_for(envelope, key)
        if stanza is None:
            continue
        try:
            content_key = key.open_stanza(stanza.body, wrap_context(envelope.header, stanza.kind, stanza.recipient_id))
        except Unavailable as error:
            absent = error  # another key of ours may do
            continue
        bundle = open_content(envelope, content_key)
        return Opened(bundle=bundle, recipient_id=stanza.recipient_id)
    if absent is not None:
        raise absent
    count = len(envelope.stanzas)
    raise refusal(RefusalCode.NOT_FOR_THIS_MACHINE, f"it is sealed to {count} other recipient{'s' * (count != 1)} only")


def stanza_for(envelope: Envelope, key: KeyOpener) -> Stanza | None:
    """Return the stanza that `key` opens, for callers that ask a KMS in their own way."""
    wanted = (key.kind, key.recipient_id)
    return next((stanza for stanza in envelope.stanzas if (stanza.kind, stanza.recipient_id) == wanted), None)


def wrap_context(header: Header, kind: StanzaKind, recipient_id: bytes) -> WrapContext:
    """Return what the stanza of this recipient is bound to."""
    return WrapContext(kind=kind, recipient_id=recipient_id, audience=header.audience, sender=header.sender)


def open_content(envelope: Envelope, content_key: bytes) -> Bundle:
    """Return the bundle under `content_key`, or raise Refused."""
    if len(content_key) != KEY_BYTES:
        raise refusal(RefusalCode.DOES_NOT_OPEN, "the key wrapped for this machine has the wrong length")
    try:
        plaintext = AESGCM(content_key).decrypt(CONTENT_NONCE, envelope.content, envelope.sealed)
    except InvalidTag:
        raise refusal(RefusalCode.DOES_NOT_OPEN, "its content does not open with the key inside") from None
    bundle = decode(plaintext)
    if header_of(bundle, envelope.header.sender) != envelope.header:
        raise refusal(RefusalCode.HEADER_MISMATCH, "its header says something else than its content")
    return bundle


def header_of(bundle: Bundle, sender: bytes) -> Header:
    """Return the header that belongs to `bundle`."""
    return Header(
        sender=sender,
        audience=bundle.audience,
        bundle_id=bundle.bundle_id,
        sequence=bundle.sequence,
        issued_at=bundle.issued_at,
        not_after=bundle.not_after,
    )
