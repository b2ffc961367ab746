"""The status document, and the one word for how the agent is, from snapshots."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.credentials import AwsCredentials, Empty, Held, Origin, Slot, SlotContent, Statement, Variables, filled
from credagent.operations.observability.status_document import (
    AgentSnapshot,
    BundleSnapshot,
    RefusalSnapshot,
    SlotSnapshot,
    Snapshot,
    State,
    WorkerSnapshot,
    document,
    state,
)
from credagent.secret import Secret
from credagent.slots.refusal_log import Refusal
from credagent.slots.source_state import SourceFailure

EMPTY = Empty()
NOW = datetime(2026, 11, 22, 12, 0, 0, 750_000, tzinfo=UTC)
FAILURE = SourceFailure(code="throttled", message="slower", hint="wait", at=NOW, failures=3)
ABSENT = SourceFailure(code="no-identity", message="none here", at=NOW, permanent=True)
BUNDLE = BundleSnapshot(
    bundle_id="b" * 32, sender="a" * 32, sequence=7, issued_at=NOW, not_after=NOW + timedelta(hours=1), channel="file"
)


def held(left_s: float | None) -> Held:
    ends = None if left_s is None else NOW + timedelta(seconds=left_s)
    key = AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("topsecret"), expires_at=ends)
    return Held(credentials=key, origin=Origin.BUNDLE, principal="arn:x", obtained_at=NOW, expires_at=ends)


def snapshot(content: SlotContent = EMPTY, *, more: dict[str, Any] | None = None, **slot: Any) -> Snapshot:
    slots = {one: SlotSnapshot(content=Empty(), tried=True) for one in Slot}
    slots[Slot.AWS] = SlotSnapshot(content=content, **{"tried": True, **slot})
    return Snapshot(
        now=NOW,
        since=NOW,
        generation=4,
        audience="lab",
        public_key=None,
        slots=slots,
        agent=AgentSnapshot(version="1.0", pid=1, uptime_s=1.23456),
        **(more or {}),
    )


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (snapshot(), State.READY),
        (snapshot(tried=False), State.STARTING),
        (snapshot(tried=False, required=True), State.STARTING),
        (snapshot(held(60), required=True), State.READY),
        (snapshot(held(None), required=True), State.READY),
        (snapshot(required=True), State.UNAVAILABLE),
        (snapshot(held(9), required=True), State.UNAVAILABLE),
        (snapshot(held(10), required=True), State.READY),
        (snapshot(held(60), failure=FAILURE), State.DEGRADED),
        (snapshot(failure=ABSENT), State.READY),
        (snapshot(required=True, failure=ABSENT), State.UNAVAILABLE),
        (snapshot(more={"standing_errors": ("cannot-write",)}), State.DEGRADED),
        (snapshot(held(60), more={"bundle_required": True}), State.UNAVAILABLE),
        (snapshot(held(60), more={"bundle_required": True, "bundle": BUNDLE}), State.READY),
    ],
)
def test_the_state_is_decided_by_the_gravest_fact(shown: Snapshot, expected: State) -> None:
    assert state(shown) is expected
    assert document(shown)["state"] == expected.value


def test_a_slot_is_filled_by_what_lives_long_enough() -> None:
    assert [filled(content, NOW, timedelta(seconds=10)) for content in (held(9), held(10), held(None), Empty())] == [
        False,
        True,
        True,
        False,
    ]


def test_what_makes_it_degraded_is_named_once() -> None:
    shown = snapshot(more={"standing_errors": ("unreachable", "reload-failed", "unreachable")})
    assert document(shown)["problems"] == ["reload-failed", "unreachable"]


def test_everything_unknown_is_null_and_nothing_is_left_out() -> None:
    shown = document(snapshot())
    assert set(shown) == {
        "version",
        "state",
        "generation",
        "audience",
        "since",
        "state_since",
        "public_key",
        "key_id",
        "slots",
        "bundle",
        "problems",
        "workers",
        "refused_callers",
        "agent",
    }
    assert shown["slots"]["aws"] == {
        "origin": "none",
        "statement": None,
        "principal": None,
        "expires_at": None,
        "renew_at": None,
        "renewable": False,
        "required": False,
        "handover": "environment",
        "obtained_at": None,
        "fallback": "absent",
        "falls_back_to": "nothing",
        "because": [],
        "lost": False,
        "life_passed": 0.0,
        "last_error": None,
    }
    assert shown["slots"]["environment"]["names"] == []
    assert set(shown["slots"]) == {"aws", "google", "environment"}
    assert {value for name, value in shown["bundle"].items() if name != "refused"} == {None}
    assert shown["bundle"]["refused"] == []
    unknown = ("rss_bytes", "configured_at", "clock_skew_s")
    assert [shown["agent"][name] for name in unknown] == [None] * 3
    assert (shown["agent"]["uptime_s"], shown["agent"]["needs_restart"]) == (1.235, [])


def test_what_is_known_is_shown_in_utc_and_whole_seconds() -> None:
    more = {
        "bundle": BUNDLE,
        "refused": (Refusal(code="replayed", at=NOW, channel="file", message="why", hint="what"),),
        "refused_callers": (RefusalSnapshot(uid=1007, count=3, at=NOW),),
        "workers": (WorkerSnapshot(pid=7, uid=1000, role="worker", generation=None, since=NOW),),
    }
    slot = {"statement": Statement.GRANTED, "renew_at": NOW, "renewable": True, "failure": FAILURE}
    shown = document(snapshot(held(3600), more=more, **slot))
    assert shown["refused_callers"] == [{"uid": 1007, "count": 3, "at": "2026-11-22T12:00:00Z"}]
    aws = shown["slots"]["aws"]
    assert (aws["origin"], aws["statement"], aws["principal"]) == ("bundle", "granted", "arn:x")
    assert (aws["expires_at"], aws["renew_at"]) == ("2026-11-22T13:00:00Z", "2026-11-22T12:00:00Z")
    assert aws["last_error"] == {
        "code": "throttled",
        "message": "slower",
        "hint": "wait",
        "at": "2026-11-22T12:00:00Z",
        "failures": 3,
    }
    assert shown["bundle"]["sequence"] == 7
    assert [refusal["code"] for refusal in shown["bundle"]["refused"]] == ["replayed"]
    assert shown["workers"] == [
        {"pid": 7, "uid": 1000, "role": "worker", "generation": None, "since": "2026-11-22T12:00:00Z"}
    ]


def test_variables_are_shown_by_their_names_alone() -> None:
    variables = Variables(values={"TOKEN": Secret("topsecret"), "A": Secret("topsecret")})
    content = Held(credentials=variables, origin=Origin.BUNDLE, obtained_at=NOW)
    shown = snapshot(held(60))
    slots = {**shown.slots, Slot.ENVIRONMENT: SlotSnapshot(content=content, tried=True)}
    told = document(Snapshot(**{**{name: getattr(shown, name) for name in shown.__struct_fields__}, "slots": slots}))
    assert told["slots"]["environment"]["names"] == ["A", "TOKEN"]
    assert "topsecret" not in json.dumps(told)
