"""HTTP/1.1 on loopback ports: one listener per face, one thread that accepts, one thread per connection."""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import cast

from . import times
from .cloud import Cloud
from .exchange import answer
from .web import Face, Request, Response

MAX_BODY_BYTES = 256 * 1024 * 1024


class Connection(BaseHTTPRequestHandler):
    """Reads requests, writes what `exchange` answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer_it(self) -> None:
        listener = cast("Listener", self.server)
        request = Request(self.command, self.path, self._joined_headers(), self._body(), f"{self.client_address[0]}")
        reply = answer(listener.cloud, listener.face, request)
        if reply.response is None:
            self.close_connection = True
            return
        try:
            self._send(reply.response, truncate=reply.truncate)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = answer_it  # noqa: N815 - http.server's

    def _joined_headers(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            joined[key] = f"{joined[key]},{value}" if key in joined else value
        return joined

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return _unchunked(self.rfile)
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            return b""
        return self.rfile.read(length) if length else b""

    def _send(self, response: Response, *, truncate: bool) -> None:
        listener = cast("Listener", self.server)
        lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
        headers = {"Date": times.http_date(listener.cloud.now()), **response.headers}
        if response.status not in (204, 304):
            headers.setdefault("Content-Length", str(len(response.body)))
        if truncate:
            self.close_connection = True
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = b"" if self.command == "HEAD" or response.status in (204, 304) else response.body
        sent = body[: len(body) // 2] if truncate else body
        self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + sent)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """The ledger is the log."""


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A face's port, and the connections that are open on it."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, cloud: Cloud, face: Face, address: tuple[str, int]) -> None:
        self.cloud = cloud
        self.face = face
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: set[socket.socket] = set()
        super().__init__(address, Connection)
        self.socket.settimeout(0)

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def accept(self) -> None:
        try:
            connection, peer = self.get_request()
        except OSError:
            return
        connection.settimeout(None)
        self._open.add(connection)
        self.process_request(connection, peer)

    def shutdown_request(self, request: object) -> None:
        connection = cast("socket.socket", request)
        self._open.discard(connection)
        super().shutdown_request(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""

    def close(self) -> None:
        self.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Acceptor:
    """The one thread that waits for connections on all listeners."""

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="simulator-accept", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    cast("Listener", key.fileobj).accept()

    def stop(self) -> None:
        self._wake.send(b"\0")
        self._thread.join()
        for listener in self._listeners:
            listener.close()
        self._wake.close()
        self._woken.close()


def _unchunked(stream: BufferedIOBase) -> bytes:
    """Transfer coding of RFC 9112, section 7.1; trailers are read and dropped."""
    data = bytearray()
    while size := int(stream.readline(64).partition(b";")[0].strip() or b"0", 16):
        data += stream.read(size)
        stream.readline(8)
    while stream.readline(8192).strip():
        pass
    return bytes(data)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
