"""One bounded request to a metadata service beside this machine. Never through a proxy, never redirected.

It carries what instance metadata, container credentials, user data and attributes are asked with; what is asked, and
what an answer means, is its callers'. The standard library suffices: nothing here is signed, and an SDK costs 100 ms.
"""

import http.client
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http.response_headers import skew_s

CONNECT_S = 1.0  # metadata answers in milliseconds, and a machine without any has to settle
Silence = Literal["connect", "read", "cut"]


class MetadataResponse(Struct, frozen=True, kw_only=True):
    """A whole answer; names of headers in lower case. `skew_s`: the service's clock minus ours, None where unsaid."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    skew_s: float | None = None


class MetadataSilent(Exception):
    """No whole answer. `kind`: `connect` (nobody there), `read` (connected, then nothing), `cut` (half an answer)."""

    def __init__(self, kind: Silence) -> None:
        """Say how far it came."""
        super().__init__(kind)
        self.kind = kind


def place_of(address: str) -> SplitResult:
    """Return the parts of an `http` or `https` address; `HOST:PORT` alone is http. Raises CloudFailure."""
    try:
        place = urlsplit(address if "://" in address else f"http://{address}")
        port = place.port
    except ValueError as exc:
        raise CloudFailure("bad-endpoint") from exc
    odd = any(character.isspace() or not character.isprintable() for character in address)
    if place.scheme not in {"http", "https"} or not place.hostname or port == 0 or odd or not address.isascii():
        raise CloudFailure("bad-endpoint")
    return place


def ask(
    place: SplitResult,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    connect_s: float = CONNECT_S,
    wait_s: float,
    max_bytes: int,
) -> MetadataResponse:
    """Return the answer of the service at `place` (its scheme, host and port) to `path`.

    `wait_s` bounds each silence and not the whole; the caller's deadline does that. Raises MetadataSilent, or
    CloudFailure (`channel-too-large`, `bad-endpoint`).
    """
    connection = _connection(place, connect_s)
    try:
        try:
            connection.connect()
        except OSError as exc:
            raise MetadataSilent("connect") from exc
        connection.sock.settimeout(wait_s)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read(max_bytes + 1)
        except TimeoutError as exc:
            raise MetadataSilent("read") from exc
        except ValueError as exc:  # what cannot stand in a request's first line
            raise CloudFailure("bad-endpoint") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise MetadataSilent("cut") from exc
    finally:
        connection.close()
    if len(body) > max_bytes:
        raise CloudFailure("channel-too-large", f"more than {max_bytes} bytes")
    if response.length:  # http.client takes half an answer for a whole one where a size was given to read
        raise MetadataSilent("cut")
    given = {name.lower(): value for name, value in response.getheaders()}
    return MetadataResponse(
        status=response.status, headers=given, body=body, skew_s=skew_s(given.get("date"), datetime.now(UTC))
    )


def _connection(place: SplitResult, connect_s: float) -> http.client.HTTPConnection:
    host, port = place.hostname or "", place.port
    if place.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=connect_s)
    import ssl

    from credagent.cloud_helper.http.trusted_certificates import bundle_path

    return http.client.HTTPSConnection(
        host, port or 443, timeout=connect_s, context=ssl.create_default_context(cafile=bundle_path())
    )
