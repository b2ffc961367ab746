"""The two key encapsulations in HPKE's terms: suites and keys of `cryptography`. No texts, no identifiers."""

import hashlib
from collections.abc import Mapping
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

SEED_BYTES = 32
_ML_KEM_PUBLIC_BYTES = 1184
_X25519_PUBLIC_BYTES = 32
_ML_KEM_SEED_BYTES = 64
_X_WING_EXPANDED_BYTES = 96

Encapsulator = MLKEM768X25519PublicKey | X25519PublicKey
Decapsulator = MLKEM768X25519PrivateKey | X25519PrivateKey


class Kem(str, Enum):
    """The key encapsulation a recipient key is for."""

    X_WING = "x-wing"
    X25519 = "x25519"


_SUITES: Mapping[Kem, Suite] = {
    Kem.X_WING: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    Kem.X25519: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


def encapsulator(kem: Kem, raw: bytes) -> Encapsulator:
    """Return a public key: for X-Wing the ML-KEM-768 key followed by the X25519 key. ValueError: not one."""
    if kem is Kem.X25519:
        return X25519PublicKey.from_public_bytes(raw)
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_ML_KEM_PUBLIC_BYTES]),  # makes FIPS 203's modulus check
        X25519PublicKey.from_public_bytes(raw[_ML_KEM_PUBLIC_BYTES:]),
    )


def demand_usable(kem: Kem, raw: bytes) -> None:
    """Raise ValueError for a public key that nothing can be sealed to: an X25519 point of small order, in either kind.

    X25519 itself takes such a point; only the shared secret, which would be zero for everybody, shows it (RFC 7748).
    """
    encapsulator(kem, raw)
    X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(raw[-_X25519_PUBLIC_BYTES:]))


def decapsulator(kem: Kem, seed: bytes) -> tuple[Decapsulator, bytes]:
    """Return a private key and its raw public key, from 32 bytes.

    X-Wing: expanded as in draft-connolly-cfrg-xwing-kem section 5.2, so that others can read the key. X25519: the
    scalar itself (RFC 7748).
    """
    if kem is Kem.X25519:
        scalar = X25519PrivateKey.from_private_bytes(seed)
        return scalar, scalar.public_key().public_bytes_raw()
    expanded = hashlib.shake_256(seed).digest(_X_WING_EXPANDED_BYTES)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_BYTES])
    curve = X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_BYTES:])
    raw = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return MLKEM768X25519PrivateKey(lattice, curve), raw


def wrap(kem: Kem, content_key: bytes, public_key: Encapsulator, info: bytes) -> bytes:
    """Seal (RFC 9180, base mode, single shot): enc, then ciphertext. ValueError: an X25519 point of small order."""
    return _SUITES[kem].encrypt(content_key, public_key, info=info)


def unwrap(kem: Kem, body: bytes, private_key: Decapsulator, info: bytes) -> bytes:
    """Open what `wrap` made. ValueError where anything at all does not fit: the reason would only help an attacker."""
    try:
        return _SUITES[kem].decrypt(body, private_key, info=info)
    except InvalidTag:
        raise ValueError("does not open") from None
