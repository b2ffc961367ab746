"""Plaintext to bundle, strictly: one reading for each text, one text for each bundle. Encoding is in `canonical_json`.

No error text here holds a value, and no exception of the decoder is chained: its text quotes the input.
"""

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from credagent.bundle import canonical_json, validation
from credagent.bundle.contents import VERSION, Bundle
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.secret import Secret


class _Versioned(Struct):
    version: int


def decode(plaintext: bytes) -> Bundle:
    """Return the bundle that `plaintext` is the canonical form of, or raise Refused."""
    try:
        version = _VERSION_DECODER.decode(plaintext).version
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise refusal(RefusalCode.BAD_CONTENT, "its content is not a JSON object with a version") from None
    if version != VERSION:
        raise refusal(RefusalCode.UNKNOWN_VERSION, "its content has a version this credagent does not know")
    try:
        bundle = _BUNDLE_DECODER.decode(plaintext)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise refusal(RefusalCode.BAD_CONTENT, f"its content does not have the form of version {VERSION}") from None
    if canonical_form(bundle) != plaintext:
        # One comparison finds white space, duplicate keys, unknown fields, stated defaults, other spellings of a
        # number, a time or a text, grants out of order: everything that would give one bundle two encodings.
        raise refusal(RefusalCode.BAD_CONTENT, "its content has an unknown field, or is not in its canonical form")
    return bundle


def canonical_form(bundle: Bundle) -> bytes:
    """Return the plaintext of `bundle`. Raises Refused with what is wrong with it, so that its sender hears of it."""
    try:
        if fault := validation.fault(bundle):
            raise refusal(RefusalCode.BAD_CONTENT, fault)
        return canonical_json.encode(bundle)
    except (UnicodeEncodeError, ValueError, TypeError, OverflowError):
        why = "it has a text that is not Unicode, or a time without its zone or outside the calendar"
        raise refusal(RefusalCode.BAD_CONTENT, why) from None


def _secret(wanted: type, value: object) -> Secret:
    if wanted is not Secret or not isinstance(value, str):
        raise TypeError("not a text")
    return Secret(value)


_VERSION_DECODER = Decoder(_Versioned)
_BUNDLE_DECODER = Decoder(Bundle, dec_hook=_secret)
