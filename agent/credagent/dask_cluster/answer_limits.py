"""How what a cluster sends is decoded: each kind of answer has a type, and limits on its bytes, items and seconds.

This is the one place where bytes of a cluster become values. What is too large was never read into memory, what has
too many items is not decoded, and fields that nobody asked for are skipped by the decoder without becoming objects: two
megabytes of empty lists would otherwise be 170 MB of objects. The largest answer that the limits let through is decoded
within a few milliseconds, which is why it happens on the event loop.

An answer that breaks its limits is no answer (`NoAnswer`): it costs the machine that it is about, and neither the
connection it came by nor the loop that asked.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from credagent.errors import Unavailable

REPORT_BYTES = 64 * 1024  # a public key of 1.7 KB and a dozen short texts; also what one event may have
MOST_WORKERS = 65_536
MOST_EVENTS = 16_384  # in one message of the scheduler's; it sends what came within some milliseconds together


class NoAnswer(Unavailable):
    """A question got no usable answer, and the scheduler is there all the same.

    `silent`: none in time. `question-lost`: its connection ended. `scheduler-failed`: the scheduler could not.
    `bad-answer`: more than the kind of answer may have, or no such answer.
    """

    def __init__(self, code: str, why: str) -> None:
        """Say which of the four, and why."""
        super().__init__(code, why, what="dask", hint="the forwarder asks again; see the scheduler's log")


class AnswerKind(Struct, frozen=True, kw_only=True):
    """What one kind of answer looks like. `items`: entries of the outermost list or mapping."""

    type: Any
    deadline_s: float
    limit_bytes: int = REPORT_BYTES
    limit_items: int = 256


class _Status(Struct):
    """The part of any answer that says that the scheduler failed."""

    status: str = ""


ACKNOWLEDGED = AnswerKind(type=_Status, deadline_s=10.0)
INSTALLED = AnswerKind(type=_Status, deadline_s=20.0, limit_bytes=1024 * 1024, limit_items=MOST_WORKERS)
"""The scheduler waits until each running worker has unpacked the plugin. Who is slower has it all the same."""
WORKERS = AnswerKind(
    type=dict[str, Raw], deadline_s=10.0, limit_bytes=MOST_WORKERS * 64, limit_items=MOST_WORKERS
)  # an address and a number for each
REPORT = AnswerKind(type=dict[str, Raw], deadline_s=10.0)
DELIVERY = AnswerKind(type=dict[str, Raw], deadline_s=45.0)  # the agent may ask a KMS first
NOTE = AnswerKind(type=str | None, deadline_s=10.0)
CLIENT_HISTORY = AnswerKind(type=list[tuple[Raw, Raw]], deadline_s=10.0, limit_items=1_024)
EVENTS = AnswerKind(type=list[Raw], deadline_s=0.0, limit_bytes=4 * 1024 * 1024, limit_items=MOST_EVENTS)
"""Nobody waits for events, so there is no deadline."""


def decode(frame: bytes, kind: AnswerKind) -> Any:  # noqa: ANN401  what `kind.type` says
    """Return the answer in `frame`. Raises NoAnswer for what is too large, is another kind, or says that it failed."""
    if len(frame) > kind.limit_bytes or item_count(frame) > kind.limit_items:
        raise NoAnswer("bad-answer", "the answer is larger than it may be")
    if plain(frame, _Status, _Status()).status == "uncaught-error":
        # The exception itself is a pickle, which is not opened; its text is somebody else's.
        raise NoAnswer("scheduler-failed", "the scheduler could not do it")
    answer = plain(frame, kind.type, _Status())
    if isinstance(answer, _Status) and kind.type is not _Status:
        raise NoAnswer("bad-answer", "what came is no answer to the question")
    return answer


def plain(data: "bytes | Raw", as_type: Any, default: Any) -> Any:  # noqa: ANN401  as `decode`
    """Return the value of `as_type` in `data`, which is of bounded size already; `default` where it is none."""
    try:
        return msgspec.msgpack.decode(data, type=as_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError, RecursionError):
        return default


def item_count(frame: bytes) -> int:
    """Return how many entries the outermost list or mapping of a msgpack value says it has; 0 for other values.

    The decoder refuses a value that ends before it has as many. (https://github.com/msgpack/msgpack, spec.md)
    """
    first = frame[0] if frame else 0xC0
    match first:
        case 0xDC | 0xDE:  # array 16, map 16
            return int.from_bytes(frame[1:3], "big")
        case 0xDD | 0xDF:  # array 32, map 32
            return int.from_bytes(frame[1:5], "big")
        case _:
            return first & 0x0F if 0x80 <= first <= 0x9F else 0  # noqa: PLR2004  fixmap and fixarray
