"""Metrics are read back by the format's own grammar, and readiness says what is missing."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_reader
from prometheus_client.parser import text_string_to_metric_families as classic_reader

from credagent import metric_counters
from credagent.credentials import AwsCredentials, Empty, Held, Origin, Slot, SlotContent
from credagent.handover.http.metrics_endpoint import Observability
from credagent.handover.http.request import HttpRequest
from credagent.metric_counters import MOST_SERIES, REFUSED_BUNDLES, RENEWALS, REQUESTS, EventCounters
from credagent.operations.observability.prometheus_text import render
from credagent.operations.observability.readiness import is_ready, not_ready_because
from credagent.operations.observability.status_document import AgentSnapshot, SlotSnapshot, Snapshot, WorkerSnapshot
from credagent.secret import Secret
from credagent.slots.source_state import SourceFailure

MONITORING = Path(__file__).parents[4] / "packaging" / "monitoring"
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SAMPLE = re.compile(r'credagent_[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? -?[0-9]+(\.[0-9]+)?')
COMMENT = re.compile(r"# (HELP credagent_[a-z_]+ .+|TYPE credagent_[a-z_]+ (counter|gauge|histogram))")


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


def everything() -> tuple[Snapshot, EventCounters]:
    """Return what makes every family have a series."""
    counters = EventCounters()
    for family in metric_counters.COUNTERS:
        counters.count(family, *(f"a {label}" for label in family.labels))
    for seconds in (0.000_01, 0.000_1, 0.000_11, 0.003, 7.0):
        counters.took("endpoint", seconds)
    workers = (WorkerSnapshot(pid=1, uid=1, role="worker", generation=4, since=NOW),)
    return snapshot(held(2710), workers=workers), counters


def test_both_texts_say_the_same_by_the_grammars_of_prometheus_own_reader() -> None:
    classic = list(classic_reader(render(*everything())))
    openmetrics = list(openmetrics_reader(render(*everything(), openmetrics=True)))
    assert [(one.name, one.type) for one in classic] == [(one.name, one.type) for one in openmetrics]
    for one, other in zip(classic, openmetrics, strict=True):
        assert one.documentation
        said = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in one.samples}
        assert said == {(sample.name, *sorted(sample.labels.items())): sample.value for sample in other.samples}
        assert said


def test_how_long_answers_took_is_a_histogram() -> None:
    lines = render(*everything()).splitlines()
    begins = "credagent_request_duration_seconds_bucket"
    buckets = [line.rpartition(" ")[2] for line in lines if line.startswith(begins)]
    assert buckets == ["1", "2", "3", "3", "3", "4", "4", "4", "5"]  # a bound belongs to its own bucket
    assert 'credagent_request_duration_seconds_count{face="endpoint"} 5' in lines
    assert 'credagent_request_duration_seconds_sum{face="endpoint"} 7.003220' in lines


@pytest.mark.parametrize(
    ("content", "slot", "said"),
    [
        (held(2710), {}, "2710"),
        (held(2710), {"falls_back_to": "machine"}, None),  # it would not be empty
        (held(-5), {}, "0"),
        (Empty(), {}, None),  # nothing was meant for it
        (Empty(), {"required": True}, "0"),
        (Empty(), {"loud": True}, "0"),
    ],
)
def test_when_a_slot_is_empty_if_nothing_happens(content: SlotContent, slot: dict[str, Any], said: str | None) -> None:
    taken = snapshot(content)
    slots = {**taken.slots, Slot.AWS: structs.replace(taken.slots[Slot.AWS], **slot)}
    text = render(structs.replace(taken, slots=slots), EventCounters())
    found = re.search(r'credagent_slot_empty_in_seconds{slot="aws"} (.+)', text)
    assert (found and found.group(1)) == said


def test_every_metric_and_label_of_dashboard_and_rules_is_one_that_the_agent_writes() -> None:
    written: dict[str, set[str]] = {}
    for family in classic_reader(render(*everything())):
        for sample in family.samples:
            written.setdefault(sample.name, {"instance"}).update(sample.labels)
    for file in ("credagent.rules.yml", "grafana-dashboard.json"):
        text = (MONITORING / file).read_text().replace('\\"', '"')
        used = re.findall(r"(credagent_[a-z_]+)(?:{([^}]*)})?", text)
        assert len(used) > 5
        for name, selectors in used:
            assert name in written
            assert set(re.findall(r"([a-z]+)[=!]", selectors)) <= written[name]


def test_every_alert_is_fired_by_a_test() -> None:
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "credagent.rules.yml").read_text())
    tests = (MONITORING / "credagent.rules.test.yml").read_text()
    fired = re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests)
    assert sorted(set(fired)) == sorted(alerts)


def test_no_secret_and_no_principal_is_told() -> None:
    text = render(snapshot(held(10)), EventCounters())
    assert "secret" not in text.replace("# HELP", "")
    assert "arn:" not in text


@pytest.mark.parametrize(("code", "failures"), [("access-denied", "4"), ("no-identity", "0")])
def test_what_a_cloud_does_not_have_for_a_machine_is_no_failure_of_a_renewal(code: str, failures: str) -> None:
    failure = SourceFailure(code=code, message="why", at=NOW, failures=4)
    taken = snapshot(Empty())
    slots = {**taken.slots, Slot.AWS: structs.replace(taken.slots[Slot.AWS], failure=failure)}
    text = render(structs.replace(taken, slots=slots), EventCounters())
    assert f'credagent_renewal_failures{{slot="aws"}} {failures}\n' in text


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
    wanted = {b"accept": b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    openmetrics = face.answer(HttpRequest(b"GET", "/metrics", "", wanted, last=False)).payload
    assert b"application/openmetrics-text; version=1.0.0" in openmetrics
    assert openmetrics.endswith(b"# EOF\n")
    assert not ask("/metrics")[1].endswith(b"# EOF\n")
    assert ask("/metrics", b"POST")[0] == 405
    assert ask("/")[0] == 404
