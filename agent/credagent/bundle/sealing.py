"""Bundle to envelope: a content key for each, wrapped to its recipients, signed. What to seal is decided elsewhere."""

from collections.abc import Iterable, Iterator, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from credagent.bundle.content_key_wrapping import KEY_BYTES, KeyWrapper
from credagent.bundle.contents import Bundle
from credagent.bundle.decoder import canonical_form, decode
from credagent.bundle.envelope import (
    MAX_RECIPIENTS,
    MAX_TEXT_BYTES,
    Header,
    Stanza,
    header_bytes,
    signed_bytes,
    text_of,
)
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.bundle.opening import CONTENT_NONCE, header_of, wrap_context
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.bundle.signature import message_of
from credagent.errors import UsageError


def new_bundle_id() -> str:
    """Return an id for one bundle: 16 bytes of the system's generator, in hex."""
    return AESGCM.generate_key(bit_length=128).hex()


def seal(bundle: Bundle, recipients: Sequence[KeyWrapper], sender_key: SenderPrivateKey) -> str:
    """Return one envelope for all `recipients`, as text without a newline.

    Raises Refused("bad-content") where the bundle is not sound, Refused("too-large"), UsageError where recipients are
    none, too many or named twice, and what a KeyWrapper raises.
    """
    return _sealed(_readable(bundle), header_of(bundle, sender_key.public_key.raw), recipients, sender_key)


def seal_each(bundle: Bundle, recipients: Iterable[KeyWrapper], sender_key: SenderPrivateKey) -> Iterator[str]:
    """Yield an envelope of its own for each recipient: one for each of many machines. Raises as `seal` does."""
    plaintext = _readable(bundle)
    header = header_of(bundle, sender_key.public_key.raw)
    for recipient in recipients:
        yield _sealed(plaintext, header, (recipient,), sender_key)


def _readable(bundle: Bundle) -> bytes:
    """Return the plaintext, read once as a machine will read it: a fault shows here, and not on a thousand machines."""
    plaintext = canonical_form(bundle)
    decode(plaintext)
    return plaintext


def _sealed(plaintext: bytes, header: Header, recipients: Sequence[KeyWrapper], sender_key: SenderPrivateKey) -> str:
    content_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
    sealed = header_bytes(header, _stanzas(content_key, header, recipients))
    content = AESGCM(content_key).encrypt(CONTENT_NONCE, plaintext, sealed)
    signed = signed_bytes(sealed, content)
    text = text_of(signed, sender_key.sign(message_of(signed)))
    if len(text) > MAX_TEXT_BYTES:
        raise refusal(RefusalCode.TOO_LARGE, f"sealed it has {len(text)} bytes; {MAX_TEXT_BYTES} are possible")
    return text


def _stanzas(content_key: bytes, header: Header, recipients: Sequence[KeyWrapper]) -> tuple[Stanza, ...]:
    named = {recipient.recipient_id: recipient for recipient in recipients}  # each id is a hash: asked for once
    if not 1 <= len(recipients) <= MAX_RECIPIENTS or len(named) != len(recipients):
        why = f"1 to {MAX_RECIPIENTS} different recipients are possible, not {len(recipients)} ({len(named)} different)"
        raise UsageError("wrong-recipients", why, what="cannot seal", hint="make an envelope for each machine instead")
    ordered = sorted(named.items(), key=lambda one: (one[1].kind, one[0]))
    return tuple(
        Stanza(recipient.kind, id_, recipient.wrap(content_key, wrap_context(header, recipient.kind, id_)))
        for id_, recipient in ordered
    )
