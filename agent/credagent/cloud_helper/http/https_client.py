"""One bounded request over verified TLS, with the proxies and certificates that the environment names. No redirects.

The caller's deadline bounds the whole (a body that trickles for ever too): past it this process is killed.
"""

import os
from collections.abc import Mapping

import requests
from msgspec import Struct

from credagent.cloud_helper.failures import CloudFailure, overload

CONNECT_S = 3.0
READ_S = 8.0
BLOCK_BYTES = 16 * 1024


class HttpsResponse(Struct, frozen=True, kw_only=True):
    """An answer; `body` is empty for a status whose body was not to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpsSession(requests.Session):
    """A session that follows no redirect. Told only not to follow one, requests would still read its whole body."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  the signature is requests'
        """Return nothing."""
        return


def open_session() -> requests.Session:
    """Return a session that knows proxies and certificates from the environment, and nothing else."""
    os.environ["NETRC"] = os.devnull  # requests would send a password from there
    session = HttpsSession()
    session.headers.clear()
    session.headers.update({"User-Agent": "credagent", "Accept-Encoding": "identity"})
    return session


def ask(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    max_bytes: int,
    data: bytes | None = None,
    reads: frozenset[int] = frozenset({200}),
) -> HttpsResponse:
    """Return the answer, whatever its status. Raises CloudFailure; its text never holds the address.

    `reads` are the statuses whose body is read.
    """
    try:
        with session.request(
            method,
            url,
            headers=dict(headers),
            data=data,
            timeout=(CONNECT_S, READ_S),
            allow_redirects=False,
            stream=True,
        ) as response:
            # The body of a refusal or a redirect is not read: nothing here needs it, and it may be endless.
            body = _body(response, max_bytes) if response.status_code in reads else b""
            return HttpsResponse(status=response.status_code, headers=response.headers, body=body)
    except requests.exceptions.SSLError as exc:
        raise CloudFailure("tls-failed") from exc
    except requests.exceptions.ProxyError as exc:
        raise CloudFailure("unreachable", "the proxy") from exc
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as exc:
        raise CloudFailure("channel-address") from exc
    except requests.exceptions.ChunkedEncodingError as exc:
        raise CloudFailure("malformed-answer", "the answer is not whole") from exc
    except requests.exceptions.RequestException as exc:
        raise CloudFailure("unreachable", type(exc).__name__) from exc


def _body(response: requests.Response, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CloudFailure("malformed-answer", "it is compressed, which was not asked for")
    body = bytearray()
    for block in response.iter_content(BLOCK_BYTES):
        body += block
        if len(body) > max_bytes:
            raise CloudFailure("channel-too-large", f"more than {max_bytes} bytes")
    return bytes(body)


def refusal(status: int, retry_after: str | None = None) -> CloudFailure:
    """Return the failure that an answer without content stands for; `retry_after` is its header of that name."""
    if status in DENIED:
        return CloudFailure(
            "access-denied", f"HTTP {status}", hint="may this machine read it? has a signature expired?"
        )
    return overload(status, retry_after) or CloudFailure("request-refused", f"HTTP {status}")


OK, DENIED = 200, frozenset({401, 403, 407})
