"""One connection of agent.sock as one task: it reads a request, answers it, and reads the next.

It is bounded in bytes, in the time it may take to say what it wants, and in what is kept for it while it does not read.
A caller whose first line begins with an upper-case letter speaks HTTP: for metrics and health.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from msgspec import Struct

from credagent import log
from credagent.errors import CredagentError, InternalError, Refused
from credagent.handover.connection_limits import ConnectionLimits
from credagent.handover.unix.caller_access import AccessRules, busy, require_right
from credagent.handover.unix.peer_credentials import Caller
from credagent.handover.unix.protocol import (
    REQUEST_BYTES,
    Applied,
    GetSet,
    GetSockets,
    Request,
    Subscribe,
    decode_request,
    encode,
    encode_refusal,
    set_lines,
)
from credagent.handover.unix.rate_limits import RateLimits
from credagent.handover.unix.request_dispatch import AgentOperations, Document, Subscriber, answer

BURST = 16  # requests of one caller that are answered before others, renewals and the watchdog have their turn
AGAIN_S = 30  # after which a process asks again that found no place to subscribe
HTTP_READ_BYTES = 16 * 1024
HTTP_CONNECTIONS = 32  # one more ends the one that was idle longest: nobody can keep others from metrics and health


class SocketLimits(Struct, frozen=True, kw_only=True):
    """What callers may take of the agent, in bytes and seconds."""

    patience_s: float = 10.0  # for a request to arrive whole, and for answers to be read
    http_idle_s: float = 75.0  # longer than most pools keep a connection
    unread_bytes: int = 64 * 1024  # of answers that are kept for a caller before it is answered no more
    freely_kept_bytes: int = 64 * 1024  # of a request that is not whole; a bundle is hardly ever larger
    kept_bytes: int = 32 * 1024 * 1024  # of all requests beyond that, where a thousand callers send a large one at once


class HttpConversation(Protocol):
    """HTTP without I/O: bytes received become bytes to send."""

    ended: bool  # the last answer was given

    def receive(self, data: bytes) -> bytes:
        """Return what is to be sent now that `data` was received."""
        ...


class SharedState:
    """What the connections of one socket share. `rules` may be replaced at any time."""

    def __init__(
        self,
        agent: AgentOperations,
        rules: AccessRules,
        *,
        places: ConnectionLimits,
        rate_limits: RateLimits,
        limits: SocketLimits,
        http: Callable[[], HttpConversation] | None,
        handed_over: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Answer by `agent`; `http` makes a conversation for each caller that speaks HTTP.

        `handed_over` is told that a set was `sent` to a subscriber, and that one was `applied`.
        """
        self.handed_over = handed_over
        self.agent, self.rules, self.places = agent, rules, places
        self.rate_limits, self.limits, self.http = rate_limits, limits, http
        self.present_set = b""  # as lines, for all subscribers
        self.kept_bytes = 0
        self.speaking_http: dict[UnixConnection, None] = {}  # the one that was idle longest is the first
        self._encoded: tuple[Document, tuple[bytes, ...]] | None = None

    def set_lines(self, document: Document) -> tuple[bytes, ...]:
        """Return the lines of a set. They are made once for all who get the same object."""
        if self._encoded is None or self._encoded[0] is not document:
            self._encoded = (document, tuple(set_lines({"ok": True, **document})))
        return self._encoded[1]


class UnixConnection:
    """One caller that may connect."""

    def __init__(
        self, shared: SharedState, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wait for the caller."""
        self.caller = caller
        self.subscriber: Subscriber | None = None
        self.stands_by = False
        self._shared, self._limits = shared, shared.limits
        self._reader, self._writer = reader, writer
        self._kept_bytes = 0
        self._idle = self._last = False
        self._task: asyncio.Task[None] | None = None
        self._behind = False  # a set was published that this subscriber was not sent
        self._supplying: asyncio.Task[None] | None = None
        writer.transport.set_write_buffer_limits(high=shared.limits.unread_bytes)

    def start(self, forget: Callable[["UnixConnection"], None]) -> None:
        """Begin to answer; `forget` is called when the connection has ended."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: forget(self))

    async def _run(self) -> None:
        """Answer until the caller leaves, does not read or say what it wants in time, or is refused."""
        try:
            await self._answer_all()
        except CredagentError as refusal:
            self._writer.write(encode_refusal(refusal))
        except (TimeoutError, ConnectionError):
            self._writer.transport.abort()
        finally:
            self._keep(0)
            if self._supplying is not None:
                self._supplying.cancel()
            await self._close()

    def publish(self) -> None:
        """Send the present set to this subscriber, or as soon as it has read the one before."""
        self._behind = True
        if self._supplying is None or self._supplying.done():
            self._supplying = asyncio.create_task(self._supply())

    def finish(self) -> None:
        """End as soon as what was asked, or is about to be asked, is answered: the agent stops."""
        self._last = True
        if self._idle or self.subscriber is not None:
            self.end()

    def end(self) -> None:
        """End the connection, without waiting for anybody."""
        if self._task is not None:
            self._task.cancel()
        self._writer.transport.abort()

    async def _answer_all(self) -> None:
        answered = 0
        while not (self._last and answered) and (line := await self._next_line(idle=answered > 0)) is not None:
            if answered == 0 and line[:1].isupper() and self._shared.http is not None:
                await self._speak_http(self._shared.http(), line)
                return
            try:
                await self._answer(decode_request(line))
            except CredagentError as error:
                self._writer.write(encode_refusal(error))
            await self._drained()
            answered += 1
            if answered % BURST == 0:
                await asyncio.sleep(0)  # thousands of requests fit into what is read at once

    async def _next_line(self, *, idle: bool) -> bytes | None:
        """Return the next request's bytes, None where there will be none. Raises TimeoutError, CredagentError."""
        self._idle = idle
        try:
            # A subscriber, or who stands by, has said what it wants, and may be silent for days.
            stays = self.stands_by or self.subscriber is not None
            async with asyncio.timeout(None if stays else self._limits.patience_s):
                return await self._line()
        except asyncio.IncompleteReadError:
            return None
        finally:
            self._idle = False

    async def _line(self) -> bytes:
        kept = bytearray()
        while True:
            try:
                kept += await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as more:  # beyond what is kept freely
                kept += await self._reader.readexactly(more.consumed)
                self._keep(len(kept))
            else:
                self._keep(0)
                return bytes(kept)

    def _keep(self, nbytes: int) -> None:
        """Count what is kept of a large request. Raises CredagentError where it, or all of them, are too large."""
        shared = self._shared
        shared.kept_bytes += nbytes - self._kept_bytes
        self._kept_bytes = nbytes
        if nbytes > REQUEST_BYTES:
            raise Refused("too-large", f"a request has at most {REQUEST_BYTES} bytes")
        if nbytes and shared.kept_bytes > self._limits.kept_bytes:
            raise busy("too many large requests at once")

    async def _answer(self, request: Request) -> None:
        shared = self._shared
        if isinstance(request, Applied):
            self._note(request)
            return
        if isinstance(request, Subscribe) and self.subscriber is not None:
            raise Refused("bad-request", "this connection is subscribed already")
        if isinstance(request, GetSockets):
            require_right(shared.rules, self.caller, request)
            self._stand_by()
            return
        shared.rate_limits.begin(request, self.caller, shared.rules)
        document = answer(shared.agent, shared.rules, self.caller, request)
        if isinstance(document, Coroutine):
            document = await self._finished(document, request)
        match request:
            case Subscribe():
                self._subscribe(request, document)
            case GetSet():
                self._writer.write(shared.set_lines(document)[-1])
            case _:
                self._writer.write(encode({"ok": True, **document}))

    def _subscribe(self, request: Subscribe, document: Document) -> None:
        """Send the present set, and each later one; where there are too many subscribers, say when to ask again.

        Those that come back to ask keep themselves supplied, with a delay, in the places that are left for questions.
        """
        privileged = self._shared.rules.is_privileged(self.caller)
        if self._shared.places.may_stay(self.caller.uid, privileged=privileged):
            self.subscriber = Subscriber(
                pid=self.caller.pid, uid=self.caller.uid, role=request.role, generation=None, since=datetime.now(UTC)
            )
            lines = self._shared.set_lines(document)
            self._shared.handed_over("sent")
        else:
            lines = tuple(set_lines({"ok": True, **document, "again_s": AGAIN_S}))
            self._last = True
        self._writer.write(b"".join(lines))

    def _stand_by(self) -> None:
        """Send the listening sockets, as the first of all on this connection. Raises Refused, ConnectionError."""
        if self._writer.transport.get_write_buffer_size():
            raise Refused("bad-request", "standing by takes a connection of its own", hint="update the client")
        with self._writer.get_extra_info("socket").dup() as connection:
            try:
                self._shared.agent.pass_sockets(connection)
            except OSError as error:
                raise ConnectionError(str(error)) from error
        self.stands_by = True
        log.info("stand_by_began", pid=self.caller.pid)

    async def _finished(self, work: Coroutine[object, object, Document], request: Request) -> Document:
        """Wait for an answer that takes time; it comes about even where the caller is gone by then."""
        try:
            return await work
        except CredagentError:
            self._shared.rate_limits.refused(request, self.caller)
            raise
        except Exception as error:  # a defect in answering one caller must not end the agent
            log.error("request_failed", kind=type(error).__name__)
            raise InternalError("internal", "the agent failed to answer", hint="see the agent's log") from error

    def _note(self, applied: Applied) -> None:
        if self.subscriber is None:
            raise Refused("bad-request", "only a subscriber reports what it has applied")
        process = applied.process or self.subscriber.process
        if applied.generation != self.subscriber.generation:
            self._shared.handed_over("applied")
        self.subscriber = msgspec.structs.replace(self.subscriber, generation=applied.generation, process=process)

    async def _supply(self) -> None:
        """Send the newest set, and go on where a newer one was published before this one was read."""
        try:
            while self._behind:
                self._behind = False
                self._writer.write(self._shared.present_set)
                await self._drained()
                self._shared.handed_over("sent")
        except (TimeoutError, ConnectionError):
            self.end()

    async def _speak_http(self, conversation: HttpConversation, received: bytes) -> None:
        speaking = self._shared.speaking_http
        if len(speaking) >= HTTP_CONNECTIONS:
            next(iter(speaking)).end()
        try:
            while received:
                speaking.pop(self, None)
                speaking[self] = None  # the last to be ended for want of room
                await self._answer_http(conversation, received)
                await self._drained()
                if conversation.ended or self._last:
                    break
                self._idle = True
                async with asyncio.timeout(self._limits.http_idle_s):
                    received = await self._reader.read(HTTP_READ_BYTES)
                self._idle = False
        finally:
            speaking.pop(self, None)

    async def _answer_http(self, conversation: HttpConversation, received: bytes) -> None:
        """Answer the request that begins with `received`, as soon as it is whole."""
        async with asyncio.timeout(self._limits.patience_s):
            while received and not (payload := conversation.receive(received)):
                received = await self._reader.read(HTTP_READ_BYTES)
        if received:
            self._writer.write(payload)

    async def _drained(self) -> None:
        """Wait until the caller has read nearly all that was written. Raises TimeoutError, ConnectionError."""
        if not self._writer.transport.get_write_buffer_size():
            return  # as nearly always: the kernel has taken it
        async with asyncio.timeout(self._limits.patience_s):
            await self._writer.drain()

    async def _close(self) -> None:
        """Close when all is written, or when nobody reads it."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.patience_s):
                await self._writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self._writer.transport.abort()
