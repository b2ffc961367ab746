"""One bounded request to the metadata service at this machine's side. Never through a proxy, never redirected.

The standard library suffices: what is asked here is neither signed nor encrypted, and an SDK costs 100 ms a time.
"""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from credagent.cloud_helper.failures import CloudFailure

CONNECT_S = 1.0  # metadata answers in milliseconds, and a machine without any has to settle


class MetadataResponse(Struct, frozen=True, kw_only=True):
    """A whole answer; the names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class MetadataSilent(Exception):
    """No answer. `connected` tells a service that says nothing from one that is not there."""

    def __init__(self, *, connected: bool) -> None:
        """Say how far it came."""
        super().__init__("connected" if connected else "not connected")
        self.connected = connected


def ask(
    base: str,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    wait_s: float,
    max_bytes: int,
) -> MetadataResponse:
    """Return the answer of the service at `base`. Raises Silence or CloudFailure (`metadata-malformed`, too large)."""
    place = urlsplit(base if "://" in base else f"http://{base}")
    try:
        connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=CONNECT_S)
    except ValueError as exc:
        raise CloudFailure("bad-endpoint") from exc
    try:
        try:
            connection.connect()
        except OSError as exc:
            raise MetadataSilent(connected=False) from exc
        connection.sock.settimeout(wait_s)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read(max_bytes + 1)
        except TimeoutError as exc:
            raise MetadataSilent(connected=True) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise CloudFailure("metadata-malformed", type(exc).__name__) from exc
    finally:
        connection.close()
    if len(body) > max_bytes:
        raise CloudFailure("channel-too-large", f"more than {max_bytes} bytes")
    return MetadataResponse(
        status=response.status, headers={name.lower(): value for name, value in response.getheaders()}, body=body
    )
