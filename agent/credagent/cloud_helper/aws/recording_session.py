"""Remembers what a metadata service really answered. botocore's fetchers retry, log and forget it; the reason is lost.

A decorated session, not a fetcher of our own: what is asked, and how, stays botocore's business.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from msgspec import Struct

from credagent.cloud_helper.clock_skew import skew_s


class Exchange(Struct, frozen=True, kw_only=True):
    """One request and what came of it. `status` None: no answer. `silence` says what is missing.

    `silence`: `read` (connected, and then nothing), `connect` (nobody there), `cut` (closed before the answer's end).
    `body` may hold secrets; it stays in this process.
    """

    method: str
    path: str
    status: int | None = None
    silence: str = ""
    body: bytes = b""
    google: bool = False
    skew_s: float | None = None


class RecordingSession:
    """Stands in for botocore's HTTP session."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401  botocore has no types
        """Wrap `session`."""
        self._session = session
        self.exchanges: list[Exchange] = []

    def send(self, request: Any) -> Any:  # noqa: ANN401  as above
        """Pass the request on and remember the outcome."""
        method, path = request.method, urlsplit(request.url).path
        try:
            response = self._session.send(request)
            body = bytes(response.content)
        except Exception as exc:
            self.exchanges.append(Exchange(method=method, path=path, silence=_silence(exc)))
            raise
        self.exchanges.append(
            Exchange(
                method=method,
                path=path,
                status=response.status_code,
                silence="" if _whole(response.headers.get("Content-Length"), body) else "cut",
                body=body,
                google=response.headers.get("Metadata-Flavor") == "Google",
                skew_s=skew_s(response.headers.get("Date"), datetime.now(UTC)),
            )
        )
        return response

    @property
    def skew_s(self) -> float | None:
        """The service's clock minus ours, by its last answer that gave a time."""
        return next((each.skew_s for each in reversed(self.exchanges) if each.skew_s is not None), None)


def _whole(content_length: str | None, body: bytes) -> bool:
    """Tell whether the body is as long as announced: botocore takes half an answer for a whole one."""
    return content_length is None or not content_length.isdecimal() or int(content_length) == len(body)


def _silence(exc: Exception) -> str:
    if isinstance(exc, ReadTimeoutError):
        return "read"
    return "connect" if isinstance(exc, ConnectTimeoutError | EndpointConnectionError) else "cut"
