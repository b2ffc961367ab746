"""Base64url without padding (RFC 4648 section 5) in its one canonical form. What is encoded is not known here."""

import base64
import binascii


def encode(data: bytes) -> str:
    """Return `data` as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes of `text`, or raise ValueError.

    Python's decoder skips foreign characters and ignores the last, unused bits: two texts could then mean the same
    bytes. Encoding again and comparing closes all such doors at once.
    """
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64url") from None
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
