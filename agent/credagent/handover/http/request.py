"""Bytes from a TCP connection become requests, or a refusal. What is answered, and to whom, belongs elsewhere.

The grammar is llhttp's (by httptools); the limits are ours.
"""

from collections.abc import Mapping

import httptools
from msgspec import Struct

HEAD_LIMIT_BYTES = 8 * 1024  # a bearer token and an SDK's boastful User-Agent need less than 2 KiB
BODY_LIMIT_BYTES = 4 * 1024  # nobody has anything to say in a body; google-auth may POST an empty one
FORWARDED = frozenset({b"forwarded", b"via", b"x-real-ip"})
FORWARDED_PREFIX = b"x-forwarded-"
# Two different values of these, and two programs may read two different requests.
SINGULAR = frozenset({b"host", b"authorization", b"metadata-flavor", b"content-length", b"transfer-encoding"})


class HttpRequest(Struct, frozen=True):
    """One request; header names in lower case. `last`: the connection ends with its answer.

    `forwarded`: somebody passed it on for somebody else, as no SDK does and a deceived proxy would.
    """

    method: bytes
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    last: bool = False
    forwarded: bool = False

    def __repr__(self) -> str:
        """Show what was asked, never a header: one of them is a token."""
        return f"HttpRequest({self.method.decode('ascii', 'replace')} {self.path})"


class MalformedRequest(Struct, frozen=True):
    """Why the bytes are not a request that anybody here would answer, and the HTTP status that says so."""

    status: int
    code: str
    message: str


TOO_LARGE_HEAD = MalformedRequest(
    431, "head-too-large", f"more than {HEAD_LIMIT_BYTES} bytes of request line and headers"
)
TOO_LARGE_BODY = MalformedRequest(413, "body-too-large", f"more than {BODY_LIMIT_BYTES} bytes of body")
NOT_HTTP = MalformedRequest(400, "not-http", "not an HTTP/1.1 request")
NO_LENGTH = MalformedRequest(501, "transfer-encoding", "a body needs a Content-Length")
TWICE = MalformedRequest(400, "repeated-header", "a header that must be single came twice")
NOT_A_PATH = MalformedRequest(400, "not-a-path", "the target is not a path on this server")


class RequestReader:
    """Reads the requests of one connection. After `malformed` is set nothing more may be fed."""

    def __init__(self) -> None:
        """Start before the first request."""
        self.requests: list[HttpRequest] = []
        self.malformed: MalformedRequest | None = None
        self.unfinished = False
        self._parser = httptools.HttpRequestParser(self)
        self._unfinished_bytes = 0
        self._completed = 0
        self._last_bytes = b""
        self._last: HttpRequest
        self._begin()

    def feed(self, data: bytes | memoryview) -> None:
        """Read `data`: whole requests are appended to `requests`, in order. Never raises.

        An SDK that signs all day sends the same bytes each time. What they mean depends on them alone, so that the
        last request is not parsed again where exactly its bytes arrive between two requests (ADR-01-http-server.md).
        """
        data = bytes(data)
        if data == self._last_bytes and not self.unfinished:
            self.requests.append(self._last)
            return
        before, began_whole = self._completed, not self.unfinished
        self._parse(data)
        self._last_bytes = b""
        if self._completed == before + 1 and began_whole and not self.unfinished and self.malformed is None:
            self._last_bytes, self._last = data, self.requests[-1]

    def _parse(self, data: bytes) -> None:
        completed = self._completed
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.malformed = self.malformed or NOT_HTTP
        if self.malformed is None and self.unfinished:
            # llhttp keeps an unfinished header to itself: without this count one endless header fills the memory.
            self._unfinished_bytes = self._unfinished_bytes + len(data) if completed == self._completed else 0
            if self._unfinished_bytes > HEAD_LIMIT_BYTES + (BODY_LIMIT_BYTES if self._head_complete else 0):
                self.malformed = TOO_LARGE_BODY if self._head_complete else TOO_LARGE_HEAD

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._head_complete = False
        self._forwarded = False

    def on_message_begin(self) -> None:
        """Start a request (called by llhttp)."""
        self.unfinished = True
        self._unfinished_bytes = 0
        self._begin()

    def on_url(self, url: bytes) -> None:
        """Take the target, which may come in pieces."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one whole header."""
        name = name.lower()
        if self._head_complete:
            self.malformed = NO_LENGTH  # a trailer, of a body that has none
        self._head_bytes += len(name) + len(value) + 4
        if name in SINGULAR and name in self._headers:
            self.malformed = TWICE
        if name in FORWARDED or name.startswith(FORWARDED_PREFIX):
            self._forwarded = True
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Judge the head before a body is read."""
        self._head_complete = True
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self.malformed = TOO_LARGE_HEAD
        elif b"transfer-encoding" in self._headers and self._parser.get_method() != b"PUT":
            self.malformed = NO_LENGTH
        elif not self._target.startswith(b"/"):
            self.malformed = NOT_A_PATH
        elif b"content-length" in self._headers and int(self._headers[b"content-length"]) > BODY_LIMIT_BYTES:
            self.malformed = TOO_LARGE_BODY  # llhttp has checked that these are digits

    def on_body(self, _body: bytes) -> None:
        """Refuse a body of unknown length. An empty one is how s3fs-fuse PUTs for its token, which EC2 answers."""
        if b"transfer-encoding" in self._headers:
            self.malformed = NO_LENGTH

    def on_message_complete(self) -> None:
        """Finish a request; after a refused one the rest is not listened to."""
        self.unfinished = False
        self._completed += 1
        if self.malformed is not None:
            return
        path, _, query = self._target.decode("latin-1").partition("?")
        parser = self._parser
        last = not parser.should_keep_alive() or parser.get_http_version() != "1.1"
        self.requests.append(HttpRequest(parser.get_method(), path, query, self._headers, last, self._forwarded))
