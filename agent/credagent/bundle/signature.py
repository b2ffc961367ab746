"""The signature of an envelope: Ed25519 (RFC 8032, pure) over a domain prefix and every byte that precedes it.

FORMAT.md section 5 is the specification. Whether a sender is trusted is judged elsewhere.

A public key of small order has no private key: under it, a signature of S = 0 and a point of small order verifies for
one message in eight at least, under the neutral element for every message. Whoever had such a key among his trusted
senders would admit bundles that anybody signs, so no signature verifies under one, and no `.pub` line may hold one.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credagent.bundle.content_key_wrapping import FORMAT_NAME
from credagent.bundle.envelope import Envelope
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.refusal_codes import RefusalCode, refusal

SIGNATURE_DOMAIN = FORMAT_NAME.encode() + b" signature\x00"
_FIELD = 2**255 - 19
_ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})
"""The y of the eight points whose order divides eight: of order 4, 1, 2, 8 and 8 (RFC 8032 section 5.1)."""


def is_of_small_order(public_key: bytes) -> bool:
    """Tell whether the 32 bytes are a point of small order, in whichever encoding: y is little-endian below a sign."""
    y = int.from_bytes(public_key, "little") & (2**255 - 1)
    return y % _FIELD in _SMALL_ORDER_Y


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` over `message` is by the owner of the 32 bytes of `public_key`."""
    if is_of_small_order(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def message_of(signed: bytes) -> bytes:
    """Return what is signed for an envelope whose bytes before the signature are `signed`."""
    return SIGNATURE_DOMAIN + signed


def verify_signature(envelope: Envelope) -> None:
    """Raise Refused unless the sender named in the header signed every byte. Says nothing about trust."""
    header = envelope.header
    if not verifies(header.sender, envelope.signature, message_of(envelope.signed)):
        raise refusal(
            RefusalCode.BAD_SIGNATURE, f"its signature is not by the sender it names ({fingerprint(header.sender_id)})"
        )
