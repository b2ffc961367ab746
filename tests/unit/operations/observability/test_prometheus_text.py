"""Metrics are read back by the format's own grammar, and readiness says what is missing."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from credagent import metric_counters
from credagent.credentials import AwsCredentials, Empty, Held, Origin, Slot, SlotContent
from credagent.handover.http.metrics_endpoint import Observability
from credagent.handover.http.request import HttpRequest
from credagent.metric_counters import MOST_SERIES, REFUSED_BUNDLES, RENEWALS, REQUESTS, EventCounters
from credagent.operations.observability.prometheus_text import render
from credagent.operations.observability.readiness import is_ready, not_ready_because
from credagent.operations.observability.status_document import AgentSnapshot, SlotSnapshot, Snapshot, WorkerSnapshot
from credagent.secret import Secret

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SAMPLE = re.compile(r'credagent_[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? -?[0-9]+(\.[0-9]+)?')
COMMENT = re.compile(r"# (HELP credagent_[a-z_]+ .+|TYPE credagent_[a-z_]+ (counter|gauge))")


def held(expires_in_s: float) -> Held:
    ends = NOW + timedelta(seconds=expires_in_s)
    credentials = AwsCredentials(
        access_key_id="ASIA", secret_access_key=Secret("secret"), session_token=Secret("session"), expires_at=ends
    )
    return Held(credentials=credentials, origin=Origin.BUNDLE, principal="arn:x", obtained_at=NOW, expires_at=ends)


def snapshot(aws: SlotContent, *, required: bool = False, tried: bool = True, **more: Any) -> Snapshot:
    slots = {slot: SlotSnapshot(content=Empty(), tried=tried) for slot in Slot}
    slots[Slot.AWS] = SlotSnapshot(content=aws, tried=tried, required=required)
    fields: dict[str, Any] = {"now": NOW, "since": NOW, "generation": 4, "audience": "a", "public_key": None}
    return Snapshot(slots=slots, agent=AgentSnapshot(version="1.0", pid=1, uptime_s=2.5), **(fields | more))


def test_every_line_is_one_that_prometheus_reads() -> None:
    counters = EventCounters()
    counters.count(REQUESTS, "endpoint", "ok")
    counters.count(REFUSED_BUNDLES, 'a "strange"\\\ncode')
    counters.count(RENEWALS, "aws", "renewed")
    lines = render(snapshot(held(2710)), counters).splitlines()
    assert [line for line in lines if not (SAMPLE.fullmatch(line) or COMMENT.fullmatch(line))] == []
    assert 'credagent_requests_total{face="endpoint",outcome="ok"} 1' in lines
    assert 'credagent_credentials_remaining_seconds{slot="aws"} 2710' in lines
    assert 'credagent_slot_origin{slot="aws",origin="bundle"} 1' in lines
    assert 'credagent_slot_origin{slot="google",origin="none"} 1' in lines
    assert "credagent_generation 4" in lines
    assert "credagent_uptime_seconds 2.500" in lines


def test_no_secret_and_no_principal_is_told() -> None:
    text = render(snapshot(held(10)), EventCounters())
    assert "secret" not in text.replace("# HELP", "")
    assert "arn:" not in text


def test_workers_are_counted_by_whether_they_are_current() -> None:
    workers = tuple(
        WorkerSnapshot(pid=pid, uid=1, role="worker", generation=generation, since=NOW)
        for pid, generation in enumerate((4, 4, 3, None))
    )
    text = render(snapshot(held(10), workers=workers), EventCounters())
    assert 'credagent_workers{role="worker",current="true"} 2' in text
    assert 'credagent_workers{role="worker",current="false"} 2' in text


def test_a_family_does_not_grow_without_end() -> None:
    counters = EventCounters()
    for number in range(MOST_SERIES + 10):
        counters.count(REFUSED_BUNDLES, f"code-{number}")
    series = counters.of(REFUSED_BUNDLES)
    assert len(series) == MOST_SERIES + 1
    assert series[(metric_counters.OTHER,)] == 10


def test_ready_says_what_is_missing() -> None:
    assert is_ready(snapshot(Empty()))
    assert not_ready_because(snapshot(held(9), required=True)) == ("aws: required, and holds no credentials",)
    assert not_ready_because(snapshot(held(10), required=True)) == ()
    assert not is_ready(snapshot(Empty(), tried=False))
    required_bundle = snapshot(held(10), bundle_required=True)
    assert not_ready_because(required_bundle) == ("bundle: required, and none is in force",)


def test_the_three_paths_are_answered() -> None:
    face = Observability(lambda: snapshot(Empty(), required=True), EventCounters())

    def ask(path: str, method: bytes = b"GET") -> tuple[int, bytes]:
        answer = face.answer(HttpRequest(method, path, "", {}, last=False))
        return answer.status, answer.payload.partition(b"\r\n\r\n")[2]

    assert ask("/healthz") == (200, b"alive\n")
    assert ask("/readyz") == (503, b"not ready\naws: required, and holds no credentials\n")
    assert ask("/metrics")[0] == 200
    assert ask("/metrics", b"POST")[0] == 405
    assert ask("/")[0] == 404
