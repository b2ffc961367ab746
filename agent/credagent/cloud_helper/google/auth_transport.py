"""What carries google-auth's requests: bounded in time, asked once, and every refusal told by its reason.

google-auth sleeps and asks again by itself, and puts whole answers into its exceptions; here a bad answer becomes a
failure of ours before google-auth sees it. The agent's renewal plan is what asks again.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import google.auth.transport
from google.auth.exceptions import TransportError
from google.auth.transport.requests import Request

from credagent.cloud_helper.google.errors import from_requests, refusal
from credagent.cloud_helper.http.https_client import open_session
from credagent.cloud_helper.http.response_headers import skew_s

CONNECT_S = 3.0
READ_S = 8.0
METADATA_S = 2.0  # each; a metadata server that must first ask Google's token service takes a second at times
OPTIONAL_PATHS = ("/universe/universe-domain",)  # google-auth knows what a 404 means there


class AuthTransport(google.auth.transport.Request):
    """A google-auth transport; `skew_s` is the service's clock minus ours, by the last answer that gave a time.

    Raises CloudFailure, except at the root of a metadata server: that is google-auth's look for one.
    """

    def __init__(self) -> None:
        """Open a session that knows proxies and certificates from the environment, and nothing else."""
        self._inner = Request(open_session())
        self.skew_s: float | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002  google-auth's 120 s are nobody's to wait for
        **_: object,
    ) -> Any:  # noqa: ANN401  google-auth has no types
        """Ask once and return the answer."""
        path = urlsplit(url).path
        looking = path in {"", "/"}
        metadata = looking or path.startswith("/computeMetadata/")
        times = (1.0, 1.0) if looking else (METADATA_S, METADATA_S) if metadata else (CONNECT_S, READ_S)
        try:
            response = self._inner(url=url, method=method, body=body, headers=headers, timeout=times)
        except TransportError as exc:
            if looking:
                raise
            raise from_requests(exc.__cause__, metadata=metadata) from exc
        measured = skew_s(response.headers.get("Date"), datetime.now(UTC))
        self.skew_s = self.skew_s if measured is None else measured
        if response.status < REDIRECT or looking or path.endswith(OPTIONAL_PATHS):
            return response
        raise refusal(
            response.status,
            _document(response.data),
            metadata=metadata,
            skew_s=self.skew_s,
            retry_after=response.headers.get("Retry-After"),
        )


def _document(data: bytes | str) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


REDIRECT = 300
