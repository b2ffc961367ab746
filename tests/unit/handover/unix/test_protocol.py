"""The grammar of agent.sock: what is a request, and what a worker is told."""

import json

import msgspec
import pytest

from credagent.credentials import CredentialSet, Slot
from credagent.errors import Refused
from credagent.handover.unix.protocol import (
    MOST_PROCESSES,
    MOST_REPORTED,
    Applied,
    Deliver,
    GetProcesses,
    GetSet,
    ProcessReport,
    Renew,
    Request,
    Subscribe,
    decode_request,
    encode,
    encode_refusal,
    set_document,
)
from credagent.worker_environment.rendering import worker_environment
from tests.unit.worker_environment.rendered import ENVIRONMENT, FILLED


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b'{"op":"subscribe","role":"scheduler"}', Subscribe(role="scheduler")),
        (b'{"op":"applied","generation":4}', Applied(generation=4)),
        (
            b'{"op":"applied","generation":4,"process":{"names":["AWS_PROFILE"],"more":1}}',
            Applied(generation=4, process=ProcessReport(names=("AWS_PROFILE",))),
        ),
        (b'{"op":"processes","pid":7}', GetProcesses(pid=7)),
        (b' {"op": "set"} ', GetSet()),
        (b'{"op":"renew"}', Renew(slot=None)),
        (b'{"op":"renew","slot":"google"}', Renew(slot=Slot.GOOGLE)),
        (b'{"op":"deliver","bundle":"x"}', Deliver(bundle="x")),
    ],
)
def test_a_request_is_read_as_it_is_meant(line: bytes, request_: Request) -> None:
    assert decode_request(line) == request_


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"op":"shutdown"}',
        b'{"op":"subscribe","role":"root"}',
        b'{"op":"renew","slot":"azure"}',
        b'{"op":"set","extra":1}',
        b'{"op":"applied","generation":"4"}',
        b'{"op":"set"} {"op":"set"}',
        b'{"op":"deliver","bundle":"\xff"}',
        b"[" * 10_000,
    ],
)
def test_anything_else_is_refused_without_being_repeated(line: bytes) -> None:
    with pytest.raises(Refused) as caught:
        decode_request(line)
    assert caught.value.code == "bad-request"
    assert line[:6].decode(errors="ignore") not in str(caught.value) or len(line) < 3


def test_the_longest_reports_fit_into_an_answer() -> None:
    row = {"pid": 4_194_304, "uid": 2**32 - 2, "role": "scheduler", "generation": 2**53 - 1, "since": "2" * 20}
    names = [f"{number:048}" for number in range(MOST_REPORTED)]
    process = {"names": names, "changed": names, "proxied": False, "versions": dict.fromkeys(names[:8], "v" * 48)}
    assert encode({"ok": True, "processes": [{**row, "process": process}] * MOST_PROCESSES})


def test_a_worker_is_told_the_values_and_of_each_slot_whether_until_when_and_from_where() -> None:
    view = worker_environment(FILLED, ENVIRONMENT)
    document = set_document(
        FILLED, view, settled=True, required=frozenset({Slot.AWS}), audience="lab", public_key="key"
    )
    assert document["environment"]["AWS_SECRET_ACCESS_KEY"] == "secret/of+session"  # type: ignore[index]  # a document, checked by its values
    assert document["slots"] == {
        "aws": {"filled": True, "required": True, "origin": "bundle", "expires_at": "2026-11-22T13:00:00Z"},
        "google": {"filled": True, "required": False, "origin": "bundle", "expires_at": "2026-11-22T13:00:00Z"},
        "environment": {"filled": True, "required": False, "origin": "bundle", "expires_at": None},
    }
    assert msgspec.json.decode(msgspec.json.encode(document)) == document


def test_an_empty_slot_has_no_origin() -> None:
    empty = CredentialSet(generation=1)
    view = worker_environment(empty, ENVIRONMENT)
    document = set_document(empty, view, settled=False, required=frozenset(), audience="", public_key="")
    assert {slot["origin"] for slot in document["slots"].values()} == {"none"}  # type: ignore[attr-defined]  # a document, checked by its values


def test_a_refusal_has_a_code_for_programs_and_a_hint_for_people() -> None:
    line = encode_refusal(Refused("replayed", "older than the one in force", what="bundle", hint="send a new one"))
    assert json.loads(line) == {
        "ok": False,
        "code": "replayed",
        "message": "bundle: older than the one in force",
        "hint": "send a new one",
    }
