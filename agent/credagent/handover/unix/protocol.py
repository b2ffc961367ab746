"""The grammar of agent.sock: one JSON object on each line, both ways. No connection, no caller, no decision here.

A request names what it wants in `op`. An answer has `ok`; where that is false, `code`, `message` and `hint`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from credagent.credentials import CredentialSet, Held, Slot, origin_of
from credagent.errors import CredagentError, Refused
from credagent.worker_environment.rendering import WorkerView
from credagent.worker_environment.vendor_documents import stamp

REQUEST_BYTES = 256 * 1024  # an envelope has at most 128 KiB
ANSWER_BYTES = 1024 * 1024  # eight times what a bundle of the largest size can grant

Role = Literal["worker", "scheduler", "exec"]


class _SocketRequest(Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """What all requests share: the field that names them."""


class Subscribe(_SocketRequest, frozen=True, kw_only=True, tag="subscribe"):
    """Send the set now, and again at each change, until the connection ends."""

    role: Role


class Applied(_SocketRequest, frozen=True, kw_only=True, tag="applied"):
    """A subscriber has put this generation into its process. Not answered."""

    generation: int


class GetSet(_SocketRequest, frozen=True, kw_only=True, tag="set"):
    """Send the set once."""


class GetStatus(_SocketRequest, frozen=True, kw_only=True, tag="status"):
    """Send the status document."""


class Renew(_SocketRequest, frozen=True, kw_only=True, tag="renew"):
    """Renew one slot, or all, and say how that went."""

    slot: Slot | None = None


class Deliver(_SocketRequest, frozen=True, kw_only=True, tag="deliver"):
    """Here is a sealed bundle."""

    bundle: str


class GetCredentialProcess(_SocketRequest, frozen=True, kw_only=True, tag="credential-process"):
    """Send the AWS `credential_process` document."""


class GetIdentity(_SocketRequest, frozen=True, kw_only=True, tag="identity"):
    """Send what a sender has to know: this machine's public key and the audience."""


Request = Subscribe | Applied | GetSet | GetStatus | Renew | Deliver | GetCredentialProcess | GetIdentity

_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode_request(line: bytes) -> Request:
    """Return the request on `line`. Raises Refused, whose text does not repeat the line (it may hold a bundle)."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(
            "bad-request", "the request is not one that this agent knows", hint="update the client"
        ) from error


def encode(document: Mapping[str, object]) -> bytes:
    """Return `document` as a line."""
    return msgspec.json.encode(document) + b"\n"


def encode_refusal(error: CredagentError) -> bytes:
    """Return the answer for what could not be done. Errors never hold secrets, so their texts may travel."""
    return encode({"ok": False, "code": error.code, "message": str(error), "hint": error.hint})


def set_document(
    credential_set: CredentialSet,
    view: WorkerView,
    *,
    settled: bool,
    required: frozenset[Slot],
    audience: str,
    public_key: str,
) -> dict[str, object]:
    """Return what a worker gets: the values to set, and per slot whether it is filled, from where and until when."""
    return {
        "event": "set",
        "generation": credential_set.generation,
        "settled": settled,
        "environment": {name: value.reveal() for name, value in view.environment.items()},
        "overwrite": {name: value.reveal() for name, value in view.overwrite.items()},
        "scrub": list(view.scrub),
        "no_proxy": list(view.no_proxy),
        "slots": {slot.value: _slot(credential_set, slot, required=slot in required) for slot in Slot},
        "audience": audience,
        "public_key": public_key,
    }


def _slot(credential_set: CredentialSet, slot: Slot, *, required: bool) -> dict[str, object]:
    content = credential_set.content(slot)
    held = content if isinstance(content, Held) else None
    return {
        "filled": held is not None,
        "required": required,
        "origin": origin_of(content),
        "expires_at": stamp(held.expires_at) if held and held.expires_at else None,
    }
