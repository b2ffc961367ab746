"""The grammar of agent.sock: one JSON object on each line, both ways. No connection, no caller, no decision here.

A request names what it wants in `op`. An answer has `ok`; where that is false, `code`, `message` and `hint`. No line is
longer than its reader takes: ANSWER_BYTES is the one limit, kept where a line is made. A set that does not fit is told
in parts (`set_lines`).
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from credagent.credentials import CredentialSet, Held, Slot, origin_of
from credagent.errors import CredagentError, InternalError, Refused
from credagent.worker_environment.rendering import WorkerView
from credagent.worker_environment.vendor_documents import stamp

REQUEST_BYTES = 256 * 1024  # an envelope has at most 128 KiB
ANSWER_BYTES = 1024 * 1024  # of a line, its end included: eight times what a bundle of the largest size can grant
PART_BYTES = ANSWER_BYTES // 4  # of the names in one part of a set
LONGEST_TEXT = 1_000  # characters of a refusal's text: names in it may be anybody's
MOST_GENERATIONS = 2**53  # beyond which not every reader of JSON tells two numbers apart
MOST_REPORTED = 64  # names in one list of a process's report
MOST_PROCESSES = 128  # in one answer: with the longest reports it fits

Role = Literal["worker", "scheduler", "exec"]


class _SocketRequest(Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """What all requests share: the field that names them."""


class Subscribe(_SocketRequest, frozen=True, kw_only=True, tag="subscribe"):
    """Send the set now, and again at each change, until the connection ends."""

    role: Role


_Reported = Annotated[str, Meta(max_length=48)]  # as long as credagent_worker tells it


class ProcessReport(Struct, frozen=True, kw_only=True):
    """What a subscriber says of its process: names and versions, and no value. It may say more than is known here.

    `names`: variables that it sets, of those that clouds' libraries read. `changed`: those that are not as they were
    handed out. `proxied`: a proxy would get what is meant for loopback.
    """

    names: Annotated[tuple[_Reported, ...], Meta(max_length=MOST_REPORTED)] = ()
    changed: Annotated[tuple[_Reported, ...], Meta(max_length=MOST_REPORTED)] = ()
    proxied: bool = False
    versions: Annotated[dict[_Reported, _Reported], Meta(max_length=8)] = {}


class Applied(_SocketRequest, frozen=True, kw_only=True, tag="applied"):
    """A subscriber has put this generation into its process, or its report is another one. Not answered."""

    generation: Annotated[int, Meta(ge=0, lt=MOST_GENERATIONS)]
    process: ProcessReport | None = None


class GetSet(_SocketRequest, frozen=True, kw_only=True, tag="set"):
    """Send the set once."""


class GetStatus(_SocketRequest, frozen=True, kw_only=True, tag="status"):
    """Send the status document."""


class GetProcesses(_SocketRequest, frozen=True, kw_only=True, tag="processes"):
    """Send what subscribers have reported of themselves: of `pid`, or of the first ones."""

    pid: int | None = None


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


class Attest(_SocketRequest, frozen=True, kw_only=True, tag="attest"):
    """Send what this machine's cloud says of its public key; `by_role`: vouched for by the machine's role."""

    by_role: bool = False


class GetSockets(_SocketRequest, frozen=True, kw_only=True, tag="stand-by"):
    """Send the listening sockets themselves: the caller goes on with them when this agent has ended.

    The connection stays until then, and nothing else is asked on it.
    """


Request = (
    Subscribe
    | Applied
    | GetSet
    | GetStatus
    | GetProcesses
    | Renew
    | Deliver
    | GetCredentialProcess
    | GetIdentity
    | GetSockets
    | Attest
)

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
    """Return `document` as a line. Raises InternalError where no reader would take it."""
    line = msgspec.json.encode(document) + b"\n"
    if len(line) > ANSWER_BYTES:
        raise InternalError("answer-too-large", f"an answer of {len(line)} bytes is not sent", hint="please report it")
    return line


def encode_refusal(error: CredagentError) -> bytes:
    """Return the answer for what could not be done. Errors never hold secrets, so their texts may travel."""
    message, hint = str(error)[:LONGEST_TEXT], error.hint[:LONGEST_TEXT]
    return encode({"ok": False, "code": error.code, "message": message, "hint": hint})


def set_lines(document: Mapping[str, object]) -> list[bytes]:
    """Return a set (`set_document`, with `ok`) as lines: one, or parts of which all but the last have `more`.

    What is taken back may be large: the names of all variables that this machine ever handed out. It comes first, in
    parts, so that a withdrawal is in place before anything else; a reader unites `overwrite` and `scrub` of all parts.
    What is handed out now is bounded by the size of a bundle, and is in the last.
    """
    whole = msgspec.json.encode(document) + b"\n"
    if len(whole) <= ANSWER_BYTES:
        return [whole]
    overwrite, scrub = document["overwrite"], document["scrub"]
    assert isinstance(overwrite, dict)  # noqa: S101  of `set_document`
    assert isinstance(scrub, list)  # noqa: S101  of `set_document`
    scrubbed = frozenset(scrub)
    taken_back = {name: (overwrite.get(name), name in scrubbed) for name in (*overwrite, *scrub)}
    parts = []
    for names in _chunks(taken_back):
        blanks = {name: value for name in names if (value := taken_back[name][0]) is not None}
        scrubs = [name for name in names if taken_back[name][1]]
        parts.append(encode({**document, "environment": {}, "overwrite": blanks, "scrub": scrubs, "more": True}))
    return [*parts, encode({**document, "overwrite": {}, "scrub": []})]


def _chunks(taken_back: Mapping[str, tuple[str | None, bool]]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, (value, _) in taken_back.items():
        size += 2 * len(msgspec.json.encode(name)) + len(msgspec.json.encode(value)) + 4
        if names and size > PART_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
    yield names


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
        "takes_reports": True,
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
