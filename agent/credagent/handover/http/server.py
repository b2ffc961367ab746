"""Serves requests over TCP to callers that may ask: limits, deadlines, order. What is answered belongs to the faces.

asyncio and llhttp without a framework (ADR-01-http-server.md). One buffer serves all connections, because what was
read is parsed before anything else runs.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from credagent import log
from credagent.errors import PermissionRefused
from credagent.handover.http.port_binding import BACKLOG
from credagent.handover.http.request import HttpRequest, KnownRequests, MalformedRequest, RequestReader
from credagent.handover.http.response import HttpResponse, refusal
from credagent.handover.http.tcp_peer_uid import TcpPeerLookup
from credagent.log_throttle import LogThrottle

HEAD_DEADLINE_S = 5.0  # from a request's first byte to its last; a slow writer holds a connection no longer
IDLE_DEADLINE_S = 75.0  # longer than the keep-alive of any SDK's pool
DRAIN_DEADLINE_S = 1.0  # a refused caller may still be writing: closing on it would eat the answer it should read
DRAIN_LIMIT_BYTES = 256 * 1024
UNREAD_DEADLINE_S = 10.0  # for a caller who asks and does not read: its answers are in our memory
READ_BYTES = 16 * 1024
BURST = 16  # requests of one connection that are answered before others, renewals and the watchdog have their turn
FREELY_GIVEN = 0.5  # of the connections; counting whose they are begins beyond
SHARE_OF_ONE_USER = 0.75
REFUSED_CONNECTIONS = 64  # waiting to be told so; more than that are dropped without a word

NOT_ALLOWED = refusal(403, "not-allowed", "this user may not ask: see [workers] in the agent's configuration")
FORWARDED_REQUEST = refusal(403, "forwarded", "forwarded requests are not answered")
WRONG_HOST = refusal(403, "wrong-host", "the Host header names another server")
WRONG_METHOD = refusal(405, "method", "only GET is answered", headers={"Allow": "GET"})
TOO_SLOW = refusal(408, "too-slow", "the request did not arrive in time")
TOO_MANY = refusal(503, "too-many-connections", "too many connections at once")
DEFECT = refusal(500, "internal", "the agent could not answer: see its log")


class Responder(Protocol):
    """What stands behind a listener."""

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer from memory, at once. Must not raise for anything a caller can send."""
        ...


class ListenerPolicy:
    """One listener's face, who may see it, and its connections. `count` is told each outcome."""

    def __init__(
        self,
        face: Responder,
        *,
        hosts: frozenset[bytes] | None,
        admits: Callable[[int], bool] | None,
        callers: TcpPeerLookup | None,
        count: Callable[[str], None],
        connections: int,
    ) -> None:
        """`admits` None: whoever can connect may ask. `hosts` None: whatever name it was called by (a Unix socket)."""
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.known = KnownRequests()
        self.count = count
        self.open: set[HttpConnection] = set()
        self.refused: set[HttpConnection] = set()
        self._face, self._hosts, self._admits, self._callers = face, hosts, admits, callers
        self._connections = connections
        self._said = LogThrottle()

    def turn_away(self, connection: "HttpConnection", transport: asyncio.Transport) -> HttpResponse | None:
        """Return why this connection is not served, None where it is. Asked once, before its first byte is read."""
        if len(self.open) >= self._connections:
            return TOO_MANY
        if self._admits is None or self._callers is None:
            return None
        ours, theirs = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        try:
            if ours is not None and theirs is not None:
                uid = self._callers.uid(ours[:2], theirs[:2])
                connection.uid = uid
                if self._admits(uid):
                    return TOO_MANY if self._has_its_share(uid) else None
                if self._said.is_news(uid):
                    log.warning("caller_refused", uid=uid)
        except PermissionRefused as error:
            log.debug("caller_unknown", why=error.why)
        return NOT_ALLOWED

    def answer(self, request: HttpRequest, uid: int | None = None) -> HttpResponse:
        """Answer one request of `uid`; what the face has answered, it has counted."""
        refused = self._refused(request, uid)
        if refused is None:
            try:
                return self._face.answer(request)
            except Exception as error:  # noqa: BLE001  a defect in one answer must not end the agent, nor show its text
                log.error("answer_failed", path=request.path, kind=type(error).__name__)
                refused = DEFECT
        self.count(refused.outcome)
        return refused

    def _has_its_share(self, uid: int) -> bool:
        """Tell whether a user has so many connections that more would keep the other users from theirs."""
        if len(self.open) < self._connections * FREELY_GIVEN:
            return False
        return sum(connection.uid == uid for connection in self.open) >= self._connections * SHARE_OF_ONE_USER

    def _refused(self, request: HttpRequest, uid: int | None) -> HttpResponse | None:
        if self._admits is not None and (uid is None or not self._admits(uid)):
            return NOT_ALLOWED  # a reload may have taken the user out, who would be served as long as he keeps asking
        if request.forwarded:
            return FORWARDED_REQUEST
        if self._hosts is not None and request.headers.get(b"host", b"").lower() not in self._hosts:
            return WRONG_HOST  # a page in somebody's browser, whose name was made to point here
        if request.method not in (b"GET", b"POST"):
            return WRONG_METHOD
        return None

    def end(self) -> None:
        """End all connections at once."""
        for connection in (*self.open, *self.refused):
            connection.abort()


class HttpConnection(asyncio.BufferedProtocol):
    """One TCP connection: reads requests, answers in order, and ends when it is refused, slow, or idle."""

    def __init__(self, site: ListenerPolicy, loop: asyncio.AbstractEventLoop) -> None:
        """Begin before the connection is made."""
        self._site, self._loop = site, loop
        self.uid: int | None = None
        self._reader = RequestReader(site.known)
        self._transport: asyncio.Transport
        self._refusal: HttpResponse | None = None
        self._draining = 0
        self._rest: bytes | memoryview = b""  # received, and not looked at yet
        self._waits_its_turn = False
        self._writable = True
        self._slow = True  # until the first request is whole, its deadline applies
        self._deadline = loop.time() + HEAD_DEADLINE_S
        self._timer = loop.call_at(self._deadline, self._look)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find out who calls; whoever may not ask is told so after he has spoken, if he is quick."""
        self._transport = cast("asyncio.Transport", transport)
        self._refusal = self._site.turn_away(self, self._transport)
        if self._refusal is None:
            self._site.open.add(self)
            return
        self._site.count(self._refusal.outcome)
        if len(self._site.refused) >= REFUSED_CONNECTIONS:
            self._transport.abort()
            return
        self._site.refused.add(self)
        self._set_deadline(DRAIN_DEADLINE_S)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  how it ended changes nothing
        """Forget the connection."""
        self._timer.cancel()
        self._site.open.discard(self)
        self._site.refused.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the limit is ours
        """Lend the buffer that all connections share."""
        return self._site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read into the shared buffer."""
        self.data_received(self._site.buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Answer the requests that are whole now. The agent's Unix socket passes its HTTP on by this name."""
        if self._draining:
            self._drain(len(data))
            return
        if self._refusal is not None:
            self._end(self._refusal.payload)
            return
        if len(data) > READ_BYTES:  # the Unix socket reads more at once
            data, self._rest = data[:READ_BYTES], data[READ_BYTES:]
        reader = self._reader
        reader.feed(data)
        requests = reader.requests
        if len(requests) == 1 and not (requests[0].last or reader.malformed or self._rest):  # as SDKs ask
            self._renew_deadline(unfinished=reader.unfinished)
            self._transport.write(self._site.answer(requests.pop(), self.uid).payload)
        else:
            self._answer_some()

    def pause_writing(self) -> None:
        """Stop reading from a caller who does not read, and end with him soon: his answers would fill the memory."""
        self._writable = False
        self._transport.pause_reading()
        if not self._draining:
            self._set_deadline(UNREAD_DEADLINE_S)

    def resume_writing(self) -> None:
        """Go on where the caller reads again."""
        self._writable = True
        if self._draining:
            self._transport.resume_reading()
            return
        self._set_deadline(HEAD_DEADLINE_S if self._slow else IDLE_DEADLINE_S)
        self._wait_for_a_turn()

    def abort(self) -> None:
        """End without another word."""
        self._transport.abort()

    def _answer_some(self) -> None:
        """Answer as many requests as one turn has, of those that are whole now."""
        reader = self._reader
        payloads = []
        for request in reader.requests[:BURST]:
            payloads.append(self._site.answer(request, self.uid).payload)
            if request.last:
                self._end(b"".join(payloads))
                return
        del reader.requests[:BURST]
        if reader.malformed is not None and not reader.requests:
            payloads.append(self._malformed(reader.malformed))
            self._end(b"".join(payloads))
            return
        self._renew_deadline(unfinished=reader.unfinished)
        if payloads:
            self._transport.write(b"".join(payloads))
        if reader.requests or self._rest:
            self._wait_for_a_turn()

    def _wait_for_a_turn(self) -> None:
        """Let others go first: thousands of requests fit into what is read at once."""
        self._transport.pause_reading()
        if not self._waits_its_turn:
            self._waits_its_turn = True
            self._loop.call_soon(self._take_a_turn)

    def _take_a_turn(self) -> None:
        self._waits_its_turn = False
        if not self._writable or self._draining or self._transport.is_closing():
            return
        if not self._reader.requests and self._rest:
            data, self._rest = self._rest[:READ_BYTES], self._rest[READ_BYTES:]
            self._reader.feed(data)
        self._answer_some()
        if not self._waits_its_turn and self._writable:
            self._transport.resume_reading()

    def _malformed(self, why: MalformedRequest) -> bytes:
        self._site.count(why.code)
        return refusal(why.status, why.code, why.message, headers={"Connection": "close"}).payload

    def _end(self, payload: bytes) -> None:
        """Answer for the last time, and listen on for a moment: a close with unread bytes would be a reset."""
        self._draining = DRAIN_LIMIT_BYTES
        self._reader.requests.clear()
        self._rest = b""
        self._transport.write(payload)
        self._transport.write_eof()
        self._set_deadline(DRAIN_DEADLINE_S)

    def _drain(self, nbytes: int) -> None:
        self._draining -= nbytes
        if self._draining <= 0:
            self._transport.abort()

    def _renew_deadline(self, *, unfinished: bool) -> None:
        if not unfinished:
            self._slow = False
            self._deadline = self._loop.time() + IDLE_DEADLINE_S  # the timer finds out when it fires
        elif not self._slow:
            self._slow = True
            self._set_deadline(HEAD_DEADLINE_S)

    def _set_deadline(self, seconds: float) -> None:
        self._timer.cancel()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """End the connection where its deadline has passed, else look again when it does."""
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        elif self._reader.unfinished and self._writable and not self._draining:
            self._site.count(TOO_SLOW.outcome)
            self._end(TOO_SLOW.payload)
        else:
            self._transport.abort()


async def serve(sockets: Sequence[socket.socket], site: ListenerPolicy) -> list[asyncio.Server]:
    """Serve `site` on sockets that listen already; they belong to the servers from now on."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(lambda: HttpConnection(site, loop), sock=ready, backlog=BACKLOG) for ready in sockets
    ]
