"""What is said on one HTTP connection: bytes received become bytes to send. No I/O and no time is here (as in h11).

A conversation is open until it has given its last answer:

    OPEN  -- whole requests: answered in order --------------------------------------------> OPEN
    OPEN  -- a request that is the last, bytes that are no request, more than BURST at once --> ENDED

What is received after the end is not looked at. SDKs wait for each answer; who pipelines more than BURST requests is
answered the first ones, and asks for the others on another connection. A defect in an answer is answered as one.
"""

from collections.abc import Callable

from credagent import log
from credagent.handover.http.refusals import DEFECT, refuse_malformed
from credagent.handover.http.request import HttpRequest, RequestReader
from credagent.handover.http.response import HttpResponse

BURST = 16  # requests that are answered of what arrived at once: others, renewals and the watchdog have their turn

Answer = Callable[[HttpRequest], HttpResponse]
"""Answers one request from memory, at once. Must not raise for anything that a caller can send."""


class Conversation:
    """The requests of one connection and their answers. `ended`: the last answer was given."""

    def __init__(self, answer: Answer, count: Callable[[str], None]) -> None:
        """Answer by `answer`; `count` is told the outcome of what was no request."""
        self._answer, self._count = answer, count
        self._reader = RequestReader()
        self.ended = False

    @property
    def unfinished(self) -> bool:
        """Whether a part of a request has arrived."""
        return self._reader.unfinished

    def receive(self, data: bytes | memoryview) -> bytes:
        """Return what is to be sent now that `data` was received."""
        if self.ended:
            return b""
        reader = self._reader
        reader.feed(data)
        requests = reader.requests
        if len(requests) == 1 and reader.malformed is None:  # as SDKs ask
            request = requests.pop()
            self.ended = request.last
            return self._respond(request)
        return self._answer_several()

    def _respond(self, request: HttpRequest) -> bytes:
        try:
            return self._answer(request).payload
        except Exception as error:  # noqa: BLE001  a defect in one answer must not end the agent, nor show its text
            log.error("answer_failed", path=request.path, kind=type(error).__name__)
            self._count(DEFECT.outcome)
            return DEFECT.payload

    def _answer_several(self) -> bytes:
        reader, payloads = self._reader, list[bytes]()
        for request in reader.requests[:BURST]:
            payloads.append(self._respond(request))
            if request.last:
                self.ended = True
                break
        if len(reader.requests) > BURST:
            self.ended = True
        reader.requests.clear()
        if reader.malformed is not None and not self.ended:
            self.ended = True
            self._count(reader.malformed.code)
            payloads.append(refuse_malformed(reader.malformed).payload)
        return b"".join(payloads)
