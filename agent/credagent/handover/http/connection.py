"""One TCP connection of an HTTP listener: its deadlines, its flow control, its end. What is answered is elsewhere.

    SERVED ---- the last answer, or a deadline within a request ----> DRAINING
    REFUSED --- the first bytes: the refusal is written ------------> DRAINING
    SERVED ---- idle for too long, or answers are not read ---------> aborted
    DRAINING -- more bytes than a request has, or its time is over -> aborted

A connection that drains is read and not listened to, for a moment: a close with unread bytes would be a reset, and the
caller would never see the answer. asyncio and llhttp without a framework: ADR-01-http-server.md.
"""

import asyncio
from enum import Enum
from typing import cast

from credagent.handover.http.conversation import Conversation
from credagent.handover.http.listener import Accepted, Listener
from credagent.handover.http.refusals import TOO_SLOW
from credagent.handover.http.response import HttpResponse

DRAIN_LIMIT_BYTES = 256 * 1024


class ConnectionState(Enum):
    """What becomes of the bytes that arrive."""

    SERVED = "served"
    REFUSED = "refused"
    DRAINING = "draining"


class HttpConnection(asyncio.BufferedProtocol):
    """One connection. It reads no more from a caller who does not read, so that his answers do not fill the memory."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        """Begin before the connection is made."""
        self._listener, self._loop, self._timeouts = listener, loop, listener.timeouts
        self._state = ConnectionState.SERVED
        self._conversation: Conversation
        self._refusal: HttpResponse
        self._transport: asyncio.Transport
        self._drained_bytes = 0
        self._writable = True
        self._in_head = True  # until the first request is whole, its deadline applies
        self._finishing = False
        self._deadline = loop.time() + self._timeouts.head_s
        self._timer = loop.call_at(self._deadline, self._look)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find out who calls; whoever may not ask is told so after he has spoken, if he is quick."""
        self._transport = cast("asyncio.Transport", transport)
        found = self._listener.admit(self, transport.get_extra_info("socket"))
        if found is None:
            self._transport.abort()
        elif isinstance(found, Accepted):
            self._conversation = Conversation(found.answer, self._listener.count)
        else:
            self._state, self._refusal = ConnectionState.REFUSED, found
            self._set_deadline(self._timeouts.drain_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  how it ended changes nothing
        """Forget the connection."""
        self._timer.cancel()
        self._listener.forget(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the limit is ours
        """Lend the buffer that all connections share."""
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Act on what was read into the shared buffer."""
        if self._state is ConnectionState.SERVED:
            self._answer(self._listener.buffer[:nbytes])
        elif self._state is ConnectionState.REFUSED:
            self._end(self._refusal.payload)
        else:
            self._drained_bytes += nbytes
            if self._drained_bytes > DRAIN_LIMIT_BYTES:
                self._transport.abort()

    def pause_writing(self) -> None:
        """Stop reading from a caller who does not read, and end with him soon."""
        self._writable = False
        self._transport.pause_reading()
        if self._state is ConnectionState.SERVED:
            self._set_deadline(self._timeouts.unread_s)

    def resume_writing(self) -> None:
        """Go on where the caller reads again."""
        self._writable = True
        self._transport.resume_reading()
        if self._state is ConnectionState.SERVED:
            self._set_deadline(self._timeouts.head_s if self._in_head else self._timeouts.idle_s)

    def abort(self) -> None:
        """End without another word."""
        self._transport.abort()

    def finish(self) -> None:
        """End as soon as what was asked, or is about to be asked, is answered: the agent stops."""
        if self._state is not ConnectionState.SERVED:
            return  # it ends by itself
        self._finishing = True
        if not self._in_head:
            self._end(b"")

    def _answer(self, data: memoryview) -> None:
        conversation = self._conversation
        payload = conversation.receive(data)
        if payload:
            self._listener.answered(self)
        if conversation.ended or (payload and self._finishing):
            self._end(payload)
            return
        if not conversation.unfinished:
            self._in_head = False
            self._deadline = self._loop.time() + self._timeouts.idle_s  # the timer finds out when it fires
        elif not self._in_head:
            self._in_head = True
            self._set_deadline(self._timeouts.head_s)
        if payload:
            self._transport.write(payload)

    def _end(self, payload: bytes) -> None:
        """Answer for the last time, and listen on for a moment."""
        self._state = ConnectionState.DRAINING
        self._set_deadline(self._timeouts.drain_s)
        self._transport.write(payload)
        self._transport.write_eof()

    def _set_deadline(self, seconds: float) -> None:
        self._timer.cancel()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """End the connection where its deadline has passed, else look again when it does.

        One timer for a connection, which no request moves: most requests come long before it fires.
        """
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        elif self._state is ConnectionState.SERVED and self._writable and self._conversation.unfinished:
            self._listener.count(TOO_SLOW.outcome)
            self._end(TOO_SLOW.payload)
        else:
            self._transport.abort()
