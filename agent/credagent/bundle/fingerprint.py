"""How a key is shown where people compare it by eye: one short text, the same in every command, log line and page."""

DIGITS = 16
"""Of the key id, which is 128 bits of SHA-256. A stranger's key with the same 64 bits is out of anybody's reach."""


def fingerprint(key_id: str) -> str:
    """Return the beginning of a key id, by which a person tells keys apart and finds the whole id."""
    return key_id[:DIGITS]
