"""A Dask scheduler of a few lines over loopback, whose machines answer, lie, hang or flood as a test wants it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from credagent.bundle import envelope
from credagent.bundle.contents import Bundle
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.opening import open_envelope
from credagent.clock import Clock, SystemClock
from credagent.dask_cluster import scheduler_address
from credagent.dask_cluster.dask_plugins import MAILBOX, TOPIC
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.key_trust import KeyJudge, TrustBasis
from credagent.forwarder.loop import ForwarderLoop
from credagent.forwarder.machine_reconciler import MachineReconciler
from credagent.forwarder.user_notices import UserNotices
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from tests.patience import scaled

SENDER = SenderPrivateKey.generate()
HUGE_BYTES = 72 * 1024 * 1024
MILLIONS = 2_000_000
EMPTY_LIST = b"\x90"


class FakeMachine(Struct, kw_only=True):
    """A machine with an agent, a worker on it and the plugin. `answers`: how it answers instead of honestly."""

    key: RecipientPrivateKey = field(default_factory=RecipientPrivateKey.generate)
    audience: str = "lab"
    sender: str = ""
    bundle_id: str = ""
    forwarder: dict[str, str] = field(default_factory=dict)
    claims: dict[str, object] = field(default_factory=dict)  # overrides of what it reports
    claims_once_delivered: dict[str, object] = field(default_factory=dict)
    refuses: str = ""
    answers: Callable[[str], Any] | None = None
    texts: list[str] = field(default_factory=list)
    delivered: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self) -> Bundle:
        """The bundle that it was sent last."""
        return open_envelope(envelope.parse(self.texts[-1]), [self.key])

    def report(self) -> dict[str, object]:
        key = self.key.public_key
        agent = {"public_key": key.line, "audience": self.audience, "host": key.key_id}
        in_force = {"sender": self.sender, "bundle_id": self.bundle_id}
        return {"credagent": 1, **agent, **in_force, **self.forwarder, **self.claims}

    def deliver(self, text: str) -> dict[str, object]:
        self.texts.append(text)
        header = envelope.parse(text).header
        if self.refuses:
            outcome = self.refuses
        else:
            self.sender, self.bundle_id, outcome = header.sender_id, header.bundle_id, "admitted"
        answer = {**self.report(), "outcome": outcome, **self.claims_once_delivered}
        self.delivered.set()
        return answer


class Lost(Exception):
    """The scheduler drops the connection by which a question came."""


class Large(Struct):
    """An answer that is too large to be held here, either: its bytes are sent again and again."""

    piece: bytes
    times: int


class FakeCluster:
    """The scheduler: answers the questions that the forwarder has, and tells its events."""

    def __init__(self, machines: dict[str, FakeMachine]) -> None:
        self.machines = machines
        self.mail: dict[str, list[dict[str, Any]]] = {}
        self.note: str | None = None
        self.mailed = asyncio.Event()
        self.questions: list[str] = []
        self.newest: dict[str, dict[str, Any]] = {}  # of the questions, by operation
        self.port = 1
        self.lists: Callable[[], Any] | None = None  # how it answers who is there
        self._listeners: list[asyncio.StreamWriter] = []
        self.listened = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeCluster"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._listeners:
                writer.transport.abort()

    def plan(self, folder: Path, *, key: SenderPrivateKey = SENDER, trust: str = "any", **more: Any) -> ForwardingPlan:
        place = scheduler_address.parse(f"tcp://127.0.0.1:{self.port}")
        options = GrantOptions(audience=more.pop("audience", ""), aws="none", variables={"X": Secret("1")})
        environ = {"XDG_STATE_HOME": str(folder)}
        fields: dict[str, Any] = {"pinned": (), "environ": environ, "whereabouts": lambda: place, **more}
        return ForwardingPlan(options=options, key=key, trust=trust, **fields)

    @asynccontextmanager
    async def forwarded(
        self,
        folder: Path,
        said: list[str] | None = None,
        clock: Clock | None = None,
        notices: UserNotices | None = None,
        **plan: Any,
    ) -> AsyncIterator[ForwarderLoop]:
        """Forward to this cluster, once the machines that are there have answered."""
        told = notices or UserNotices((said if said is not None else []).append)
        forwarder = ForwarderLoop(self.plan(folder, **plan), told, clock or SystemClock())
        running = asyncio.create_task(forwarder.run())
        try:
            async with asyncio.timeout(scaled(60)):
                await forwarder.settled.wait()
            yield forwarder
        finally:
            forwarder.end()
            await asyncio.wait([running], timeout=scaled(10))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def tell(self, *announcements: object, raw: "bytes | Large | None" = None) -> None:
        """Send events, as the scheduler does to all who have subscribed."""
        await self.listened.wait()
        messages = [{"op": "event", "topic": TOPIC, "event": [1.0, said]} for said in announcements]
        for writer in self._listeners:
            await _write(writer, raw if raw is not None else msgspec.msgpack.encode(messages))

    def drop_listeners(self) -> None:
        for writer in self._listeners:
            writer.transport.abort()
        self._listeners.clear()
        self.listened.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _read(reader)
            await _write(writer, msgspec.msgpack.encode({"compression": None}))
            while True:
                message = await _read(reader)
                for one in message if isinstance(message, list) else [message]:
                    answer = await self._answer(one, writer)
                    if answer is not ...:
                        await _write(writer, answer if isinstance(answer, bytes | Large) else _packed(answer))
        except (EOFError, OSError, Lost):
            writer.transport.abort()

    async def _answer(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> Any:
        self.questions.append(message["op"])
        self.newest[message["op"]] = message
        match message["op"]:
            case "register-client":
                return [{"op": "stream-start"}]
            case "subscribe-topic":
                self._listeners.append(writer)
                self.listened.set()
                return ...
            case "ncores":
                return self.lists() if self.lists is not None else dict.fromkeys(self.machines, 1)
            case "broadcast":
                return await self._broadcast(message["workers"][0], message["msg"])
            case "get_metadata":
                return self.note
            case "set_metadata":
                self.note = message["value"]
                return None
            case "credagent-report":
                return {"credagent": 1, "fault": "no-agent", "host": "the scheduler"}
            case "register_worker_plugin":
                return {address: {"status": "OK"} for address in self.machines}
            case "log_event":
                self.mail.setdefault(message["topic"].removeprefix(MAILBOX), []).append(message["msg"])
                self.mailed.set()
                return None
            case _:
                return {"status": "OK"}

    async def _broadcast(self, address: str, asked: dict[str, Any]) -> Any:
        machine = self.machines[address]
        if machine.answers is not None and (answer := machine.answers(asked["op"])) is not None:
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, asyncio.Event):
                await answer.wait()
            return answer if isinstance(answer, bytes | Large) else {address: answer}
        if asked["op"] == "credagent-deliver":
            return {address: machine.deliver(asked["bundle"])}
        return {address: machine.report()}


def reconciler(plan: ForwardingPlan, basis: TrustBasis = TrustBasis.ANY) -> MachineReconciler:
    """A reconciler with a first revision, for stories without a loop."""
    revision = BundleRevision(1, LocalIdentity(), plan, datetime.now(UTC))
    judge = KeyJudge(basis, plan.pinned, plan.options.audience)
    return MachineReconciler(revision, judge, UserNotices(lambda _text: None), SystemClock())


def millions_of_lists() -> bytes:
    """Two megabytes on the wire, 170 MB as objects."""
    return b"\xdd" + struct.pack(">I", MILLIONS) + EMPTY_LIST * MILLIONS


def _packed(answer: object) -> bytes:
    return msgspec.msgpack.encode(answer)


async def _read(reader: asyncio.StreamReader) -> Any:
    (total,) = struct.unpack("<Q", await reader.readexactly(8))
    body = await reader.readexactly(total)
    count, first = struct.unpack_from("<QQ", body)
    start = 8 * (1 + count)
    return msgspec.msgpack.decode(body[start : start + first])


async def _write(writer: asyncio.StreamWriter, frame: "bytes | Large") -> None:
    piece, times = (frame.piece, frame.times) if isinstance(frame, Large) else (frame, 1)
    length = len(piece) * times
    writer.write(struct.pack("<QQQ", 16 + length, 1, length))
    for _ in range(times):
        writer.write(piece)
        await writer.drain()
