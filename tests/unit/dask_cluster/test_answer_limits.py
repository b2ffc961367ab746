"""Each kind of answer has a type and limits; what breaks them is no answer, and never becomes objects."""

import struct
import tracemalloc

import msgspec
import pytest

from credagent.dask_cluster import answer_limits as kinds
from credagent.dask_cluster.answer_limits import AnswerKind, NoAnswer, decode, item_count

KINDS = [kinds.ACKNOWLEDGED, kinds.INSTALLED, kinds.WORKERS, kinds.REPORT, kinds.DELIVERY, kinds.EVENTS]


def code(frame: bytes, kind: AnswerKind) -> str:
    with pytest.raises(NoAnswer) as error:
        decode(frame, kind)
    assert error.value.hint
    return error.value.code


def test_an_answer_is_what_its_kind_says() -> None:
    answer = decode(msgspec.msgpack.encode({"tcp://a:1": {"credagent": 1}}), kinds.REPORT)
    assert kinds.plain(answer["tcp://a:1"], dict[str, int], None) == {"credagent": 1}
    assert set(decode(msgspec.msgpack.encode({"a": 1, "b": 2}), kinds.WORKERS)) == {"a", "b"}
    decode(msgspec.msgpack.encode(None), kinds.ACKNOWLEDGED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_the_scheduler_is_told_from_an_answer(kind: AnswerKind) -> None:
    failed = msgspec.msgpack.encode({"status": "uncaught-error", "exception": b"a pickle", "text": ["x"]})
    assert code(failed, kind) == "scheduler-failed"


@pytest.mark.parametrize("kind", [kinds.WORKERS, kinds.REPORT, kinds.DELIVERY])
@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\xa2\xff\xfe", b"\x07", b"\x81\xa1a", b"\x91" * 2_000])
def test_what_is_another_kind_is_no_answer(kind: AnswerKind, frame: bytes) -> None:
    assert code(frame, kind) == "bad-answer"


def test_what_is_nested_too_deeply_is_no_answer() -> None:
    nested = kinds.plain(b"\x81\xa1a" * 20_000, dict[str, dict[str, object]], None)
    assert nested is None


@pytest.mark.parametrize("kind", KINDS)
def test_two_megabytes_of_empty_lists_never_become_objects(kind: AnswerKind) -> None:
    count = 2_000_000
    array = b"\xdd" + struct.pack(">I", count) + b"\x90" * count
    nested = b"\x81\xa1a" + array
    tracemalloc.start()
    try:
        for frame in (array, nested):
            if len(frame) > kind.limit_bytes or item_count(frame) > kind.limit_items:
                assert code(frame, kind) == "bad-answer"
        assert tracemalloc.get_traced_memory()[1] < 4 * len(array)
    finally:
        tracemalloc.stop()


def test_the_items_of_the_outermost_value_are_counted_before_it_is_decoded() -> None:
    for count in (0, 1, 15, 16, 70_000):
        assert item_count(msgspec.msgpack.encode([None] * count)) == count
        assert item_count(msgspec.msgpack.encode(dict.fromkeys(map(str, range(count))))) == count
    assert [item_count(frame) for frame in (b"", b"\x01", b"\xa1a", b"\xdc")] == [0] * 4
