"""Session tokens of the metadata service (IMDSv2): made for one user and some seconds, and checked without a memory.

A token keeps out what can make a program of an allowed user send a GET (a proxy, a page), as on EC2. It is an expiry
with a message authentication code over it; an agent that was started anew does not know those of the one before, and
SDKs then fetch another.
"""

import hmac
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from datetime import datetime

LONGEST_TTL_S = 21_600  # six hours, as on EC2
_EXPIRY = struct.Struct("!Q")
_CODE_BYTES = 25  # with the expiry a multiple of three bytes: no padding
_TOKEN_CHARACTERS = 44


class SessionTokens:
    """Makes and checks tokens, by a key that no process but this one has."""

    def __init__(self) -> None:
        """Draw a key."""
        self._key = secrets.token_bytes(32)

    def make(self, uid: int, now: datetime, ttl_s: int) -> str:
        """Return a token for `uid` that is good for `ttl_s` seconds."""
        expiry = _EXPIRY.pack(int(now.timestamp()) + ttl_s)
        return urlsafe_b64encode(expiry + self._code(expiry, uid)).decode()

    def is_good(self, token: bytes, uid: int, now: datetime) -> bool:
        """Tell whether `token` was made here for `uid`, and has not expired."""
        if len(token) != _TOKEN_CHARACTERS:
            return False
        try:
            raw = urlsafe_b64decode(token)
        except (Error, ValueError):
            return False
        expiry, code = raw[: _EXPIRY.size], raw[_EXPIRY.size :]
        return hmac.compare_digest(code, self._code(expiry, uid)) and now.timestamp() < _EXPIRY.unpack(expiry)[0]

    def _code(self, expiry: bytes, uid: int) -> bytes:
        return hmac.digest(self._key, expiry + struct.pack("!I", uid), "sha256")[:_CODE_BYTES]
