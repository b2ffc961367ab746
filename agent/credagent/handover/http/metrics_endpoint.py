"""What machines that watch ask for: GET /metrics, /healthz and /readyz. Nothing secret is behind it."""

from collections.abc import Callable

from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, refusal, text
from credagent.metric_counters import EventCounters
from credagent.operations.observability.prometheus_text import CONTENT_TYPE, OPENMETRICS_TYPE, render
from credagent.operations.observability.readiness import is_ready, not_ready_because
from credagent.operations.observability.status_document import Snapshot

ALIVE = text("alive\n")
READY = text("ready\n")
WRONG_METHOD = refusal(405, "method", "only GET is answered", headers={"Allow": "GET"})
NOT_FOUND = refusal(404, "not-found", "there are /metrics, /healthz and /readyz")


class Observability:
    """Answers from a snapshot. Its text is made once, however often it is asked for."""

    def __init__(self, snapshot: Callable[[], Snapshot], counters: EventCounters) -> None:
        """`snapshot` is called at each request that needs one; it may return the same one for a while."""
        self._snapshot, self._counters = snapshot, counters
        self._rendered: dict[bool, tuple[Snapshot, HttpResponse]] = {}

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.method != b"GET":
            return WRONG_METHOD
        match request.path:
            case "/metrics":
                wanted = request.headers.get(b"accept", b"")
                return self._metrics(self._snapshot(), openmetrics=b"application/openmetrics-text" in wanted)
            case "/healthz":
                return ALIVE  # an event loop that answers is all that a restart could give
            case "/readyz":
                return _readiness(self._snapshot())
            case _:
                return NOT_FOUND

    def _metrics(self, snapshot: Snapshot, *, openmetrics: bool) -> HttpResponse:
        made = self._rendered.get(openmetrics)
        if made is None or made[0] is not snapshot:
            written = render(snapshot, self._counters, openmetrics=openmetrics)
            answer = text(written, content_type=OPENMETRICS_TYPE if openmetrics else CONTENT_TYPE)
            made = self._rendered[openmetrics] = (snapshot, answer)
        return made[1]


def _readiness(snapshot: Snapshot) -> HttpResponse:
    if is_ready(snapshot):
        return READY
    reasons = "".join(f"{reason}\n" for reason in not_ready_because(snapshot))
    return text(f"not ready\n{reasons}", status=503, outcome="not-ready")
