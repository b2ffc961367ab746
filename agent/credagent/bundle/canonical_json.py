"""The one JSON form of a bundle (RFC 8785, restricted to texts, integers, arrays and objects). Decoding is elsewhere.

A field that is None or empty is left out, so that absence has one form. The result holds every secret of the bundle.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import json

from credagent.bundle.contents import KIND_OF_GRANT, SLOT_OF_GRANT, VERSION, Bundle, Grant
from credagent.bundle.timestamps import text_of
from credagent.credentials import Slot
from credagent.secret import Secret

_ORDER = {slot: place for place, slot in enumerate(Slot)}


def encode(bundle: Bundle) -> bytes:
    """Return the plaintext. UnicodeEncodeError: a lone surrogate. ValueError: a naive time."""
    grants = sorted(bundle.grants, key=lambda grant: _ORDER[SLOT_OF_GRANT[type(grant)]])
    document = {
        "version": VERSION,
        "bundle_id": bundle.bundle_id,
        "sequence": bundle.sequence,
        "audience": bundle.audience,
        "issued_at": text_of(bundle.issued_at),
        "not_after": text_of(bundle.not_after),
        "slots": {slot.value: statement.value for slot, statement in bundle.slots.items()},
        "grants": [_grant(grant) for grant in grants],
    }
    return json.encode(document, order="sorted")


def _grant(grant: Grant) -> dict[str, object]:
    fields = ((name, getattr(grant, name)) for name in grant.__struct_fields__)
    return {"kind": KIND_OF_GRANT[type(grant)], **{name: _plain(value) for name, value in fields if not _absent(value)}}


def _absent(value: object) -> bool:
    return value is None or (not isinstance(value, int) and not value)


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, datetime):
        return text_of(value)
    if isinstance(value, Grant):
        return _grant(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
