"""What is asked for without end is made once a second."""

from credagent.credentials import Empty
from credagent.daemon.status_cache import ShortLivedCache
from credagent.handover.http.metrics_endpoint import Observability
from credagent.handover.http.request import HttpRequest
from credagent.metric_counters import EventCounters
from tests.unit.operations.observability.test_prometheus_text import snapshot


def test_a_value_is_made_once_a_second_or_when_it_was_forgotten() -> None:
    made, now = [], 0.0

    def make() -> int:
        made.append(now)
        return len(made)

    value = ShortLivedCache(make, lambda: now)
    assert [value(), value()] == [1, 1]
    now = 0.9
    assert value() == 1
    now = 1.0
    assert value() == 2
    value.forget()
    assert value() == 3


def test_metrics_of_one_snapshot_are_rendered_once() -> None:
    now = 0.0
    recent = ShortLivedCache(lambda: snapshot(Empty()), lambda: now)
    face = Observability(recent, EventCounters())
    request = HttpRequest(b"GET", "/metrics", "", {})
    assert face.answer(request) is face.answer(request)
    first, now = face.answer(request), 2.0
    assert face.answer(request) is not first
