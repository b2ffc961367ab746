"""One connection of agent.sock: reads and writes lines, in order, one request at a time.

It is bounded in bytes, in the time it may take to say what it wants, and in what is kept for it while it does not read.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from credagent import log
from credagent.errors import CredagentError, InternalError, Refused, Unavailable
from credagent.handover.unix.caller_access import Caller, caller_of
from credagent.handover.unix.protocol import (
    REQUEST_BYTES,
    Applied,
    Request,
    Subscribe,
    decode_request,
    encode,
    encode_refusal,
)
from credagent.handover.unix.request_dispatch import Document, Subscriber, answer, set_line, unwelcome

if TYPE_CHECKING:
    from credagent.handover.unix.server import SocketServer

BURST = 16  # requests of one caller that are answered before others have their turn
PATIENCE_S = 10.0  # for a request to arrive whole, and for answers to be read
UNREAD_BYTES = 64 * 1024  # of answers that are kept for a caller before it is answered no more
FREELY_KEPT_BYTES = 64 * 1024  # of requests; a bundle is hardly ever larger
HttpFactory = Callable[[], asyncio.Protocol]


class UnixConnection(asyncio.Protocol):
    """One caller. Requests are answered in order, one at a time."""

    transport: asyncio.Transport
    caller: Caller

    def __init__(self, server: "SocketServer") -> None:
        """Wait for the caller."""
        self._server = server
        self._received = bytearray()
        self._writable = True
        self._missed = False  # a set was published while the caller did not read
        self._ended = False  # the caller has said all it will say
        self._waits_its_turn = False  # more was asked than is answered at once
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._http: asyncio.Protocol | None = None
        self.subscriber: Subscriber | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Judge the caller before a byte is read. Who may do nothing holds no place."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what asyncio gives a stream protocol
        self.transport = transport
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        try:
            self.caller = caller_of(transport.get_extra_info("socket"))
        except OSError:  # gone already
            transport.abort()
            return
        refusal = self._unwelcome()
        if refusal is not None:
            self._refuse(refusal)
            return
        self._server.connections.add(self)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the caller. What it asked for is done all the same: a delivered bundle is delivered."""
        self._server.connections.discard(self)
        self._stop_timer()
        if self._http is not None:
            self._http.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of lines, or of HTTP if the very first is an upper-case letter."""
        if self._http is not None:
            self._http.data_received(data)
        elif not self._received and self.subscriber is None and data[:1].isupper() and self._server.http_factory:
            self._stop_timer()
            self._http = self._server.http_factory()
            self._http.connection_made(self.transport)
            self._http.data_received(data)
        else:
            self._received += data
            self._answer_next()
            if len(self._received) > FREELY_KEPT_BYTES and not self._server.has_room_for_unanswered():
                self._refuse(Unavailable("busy", "too many large requests at once", hint="try again in a moment"))

    def eof_received(self) -> bool:
        """Answer what was asked before the caller stopped sending, then close."""
        if self._http is not None:
            return bool(self._http.eof_received())
        self._ended = True
        return self._task is not None or self._waits_its_turn

    def pause_writing(self) -> None:
        """Answer nothing more until the caller reads; one that does not is left, and a worker comes back by itself."""
        self._writable = False
        if self._http is not None:
            self._http.pause_writing()
        else:
            self.transport.pause_reading()
            self._begin_timer()

    def resume_writing(self) -> None:
        """Send the newest set if one was missed, and go on."""
        self._writable = True
        if self._http is not None:
            self._http.resume_writing()
            return
        if self._missed:
            self._missed = False
            self._send(set_line(self._server.agent))
        self._go_on()

    def supply(self, line: bytes) -> None:
        """Send a set, or note that there is one to come."""
        if self._writable:
            self._send(line)
        else:
            self._missed = True

    def is_welcome(self) -> bool:
        """Tell whether the caller may still have what this connection gives."""
        admission = self._server.admission
        return admission.may_connect(self.caller) and (self.subscriber is None or admission.may_ask(self.caller))

    @property
    def unanswered_bytes(self) -> int:
        """How much was received and is kept."""
        return len(self._received)

    def end(self) -> None:
        """End the connection, without waiting for anybody."""
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()

    def _unwelcome(self) -> CredagentError | None:
        server = self._server
        refusal = unwelcome(server.admission, self.caller)
        if refusal is not None:
            server.places.say_refused(self.caller)
            return refusal
        present = (connection.caller for connection in server.connections)
        if not server.places.has_room_for(self.caller, server.admission, present):
            return Unavailable("busy", "too many connections", hint="try again in a moment")
        return None

    def _answer_next(self) -> None:
        answered = 0
        while self._writable and self._task is None and not self.transport.is_closing():
            if answered == BURST:
                self._wait_for_a_turn()
                return
            answered += 1
            length = self._received.find(b"\n")
            if max(length, len(self._received) if length < 0 else 0) > REQUEST_BYTES:
                self._refuse(Refused("too-large", f"a request has at most {REQUEST_BYTES} bytes"))
                return
            if length < 0:
                return
            line = bytes(self._received[:length])
            del self._received[: length + 1]
            try:
                self._answer(decode_request(line))
            except CredagentError as error:
                self._send(encode_refusal(error))
            self._be_patient()
        if self._task is not None or not self._writable:
            self.transport.pause_reading()

    def _wait_for_a_turn(self) -> None:
        """Let others, renewals and the watchdog go first: thousands of requests fit into what is read at once."""
        self.transport.pause_reading()
        if not self._waits_its_turn:
            self._waits_its_turn = True
            asyncio.get_running_loop().call_soon(self._take_a_turn)

    def _take_a_turn(self) -> None:
        self._waits_its_turn = False
        self._go_on()

    def _answer(self, request: Request) -> None:
        if isinstance(request, Applied):
            self._note(request.generation)
            return
        if isinstance(request, Subscribe) and self.subscriber is not None:
            raise Refused("bad-request", "this connection is subscribed already")
        self._server.costs.begin(request, self.caller, self._server.admission)
        document = answer(self._server.agent, self._server.admission, self.caller, request)
        if isinstance(document, Coroutine):
            self._stop_timer()
            self._task = asyncio.get_running_loop().create_task(self._finish(document, request))
            return
        self._send(encode({"ok": True, **document}))
        if isinstance(request, Subscribe):
            self.subscriber = Subscriber(
                pid=self.caller.pid, uid=self.caller.uid, role=request.role, generation=None, since=datetime.now(UTC)
            )

    def _note(self, generation: int) -> None:
        if self.subscriber is None:
            raise Refused("bad-request", "only a subscriber reports what it has applied")
        self.subscriber = msgspec.structs.replace(self.subscriber, generation=generation)

    async def _finish(self, work: Coroutine[Any, Any, Document], request: Request) -> None:
        try:
            line = encode({"ok": True, **await work})
        except CredagentError as error:
            self._server.costs.refused(request, self.caller)
            line = encode_refusal(error)
        except Exception as error:  # noqa: BLE001  a defect in answering one caller must not end the agent
            log.error("request_failed", kind=type(error).__name__)
            line = encode_refusal(InternalError("internal", "the agent failed to answer", hint="see the agent's log"))
        self._task = None
        self._send(line)
        self._go_on()

    def _go_on(self) -> None:
        self._be_patient()
        self._answer_next()
        if self._task is not None or self._waits_its_turn or self.transport.is_closing():
            return
        if self._ended:
            self._close()
        elif self._writable:
            self.transport.resume_reading()

    def _send(self, line: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(line)

    def _refuse(self, error: CredagentError) -> None:
        self._send(encode_refusal(error))
        self._close()

    def _close(self) -> None:
        """Close when all is written, or when nobody reads it."""
        self._received.clear()
        self._begin_timer()
        self.transport.close()

    def _be_patient(self) -> None:
        """Wait a while for the next request; a subscriber has said what it wants, and may be silent for days."""
        if not self._writable:
            return  # what it has not read decides
        self._stop_timer()
        if self.subscriber is None and self._task is None:
            self._begin_timer()

    def _begin_timer(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
