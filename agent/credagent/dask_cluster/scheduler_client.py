"""The questions that are put to a scheduler, and through it to its workers; and its stream of events. Decides nothing.

This is a client of its own, of the few operations it needs; `dask_protocol` says why it is not distributed's. How
answers are decoded, and what they may cost, is in `answer_limits`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Raw, Struct

from credagent.dask_cluster import agent_report, dask_protocol, plugin_pickle
from credagent.dask_cluster import answer_limits as kinds
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.answer_limits import AnswerKind, NoAnswer
from credagent.dask_cluster.dask_plugins import MAILBOX, TOPIC
from credagent.dask_cluster.dask_protocol import DaskConnection
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.errors import Unavailable

CONNECTIONS = 32  # to the scheduler; each broadcast makes it connect to a worker
PLUGIN, GUEST_PLUGIN = "credagent-forwarding", "credagent-delivery"  # a guest never takes a forwarder's place
NOTE = ["credagent-forwarder"]


class _EventMessage(Struct):
    """One message of the scheduler's stream; every other field and operation is skipped."""

    op: str
    topic: str
    event: tuple[Raw, Raw]  # when, and what


class _ClientEvent(Struct):
    """What the scheduler logs of a client."""

    action: str = ""


class SchedulerClient:
    """A pool of connections for questions to one scheduler, and one for its events."""

    def __init__(self, place: SchedulerAddress, name: str) -> None:
        """Connect at the first question. `name` is how the scheduler lists this client."""
        self._place = place
        self.name = name
        self._idle: list[DaskConnection] = []
        self._open: set[DaskConnection] = set()
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, operation: str, kind: AnswerKind, **fields: object) -> Any:  # noqa: ANN401  as `kind.type` says
        """Return the scheduler's answer.

        Raises NoAnswer when there is none of that kind in time, and Unavailable when the scheduler cannot be reached.
        """
        async with self._free:
            try:
                return await self._ask(await self._connection(), operation, kind, fields)
            except NoAnswer as error:
                if error.code != "question-lost":
                    raise
            # Once more: a connection that the scheduler has closed meanwhile says so only when it is used.
            return await self._ask(await self._connect(), operation, kind, fields)

    async def _ask(
        self, connection: DaskConnection, operation: str, kind: AnswerKind, fields: dict[str, object]
    ) -> Any:  # noqa: ANN401  as `ask`
        usable = False
        try:
            async with asyncio.timeout(kind.deadline_s):
                await connection.send({"op": operation, "reply": True, **fields})
                try:
                    frame = await connection.receive(kind.limit_bytes)
                except NoAnswer:
                    usable = True  # it was read past
                    raise
            usable = True
        except TimeoutError:
            raise NoAnswer("silent", f"no answer within {kind.deadline_s:.0f} s") from None
        except NoAnswer:
            raise
        except Unavailable as error:
            raise NoAnswer("question-lost", error.why) from error
        finally:
            if usable:
                self._idle.append(connection)
            else:
                self._drop(connection)
        return kinds.decode(frame, kind)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Subscribe to what plugins announce. The connection is this client's presence in the scheduler's list.

        Each item holds the announcements that came together, undecoded, each of at most REPORT_BYTES; what was too
        large is left out. Every task may announce what it likes: nothing in it is to be believed.
        """
        connection = await self._connect()
        try:
            await self._register(connection)
            yield _announcements(connection)
        finally:
            self._drop(connection)

    async def workers(self) -> frozenset[str]:
        """Return the addresses of all workers."""
        return frozenset(filter(agent_report.is_address, await self.ask("ncores", kinds.WORKERS)))

    async def noted_forwarder(self) -> str | None:
        """Return who has noted that he forwards to this cluster. Any task may change it: a reason to ask, no more."""
        found: str | None = await self.ask("get_metadata", kinds.NOTE, keys=NOTE, default=None)
        return found

    async def note_forwarder(self) -> None:
        """Note that this client forwards, and that its plugins can be asked."""
        await self.ask("set_metadata", kinds.ACKNOWLEDGED, keys=NOTE, value=self.name)

    async def is_connected(self, client: str) -> bool:
        """Tell whether the scheduler lists the client of that name, by what it logged of it."""
        history = await self.ask("events", kinds.CLIENT_HISTORY, topic=client)
        actions = [kinds.plain(said, _ClientEvent, _ClientEvent()).action for _, said in history]
        return "add-client" in actions and "remove-client" not in actions[actions.index("add-client") :]

    async def install(self, settings: dict[str, object], name: str = PLUGIN) -> None:
        """Put the plugin into all workers, present and future, in place of what had this `name`."""
        pickled = plugin_pickle.for_workers(settings)
        await self.ask("register_worker_plugin", kinds.INSTALLED, plugin=pickled, name=name, idempotent=False)

    async def install_in_scheduler(self, settings: dict[str, object], name: str = PLUGIN) -> None:
        """Put the plugin into the scheduler. Raises NoAnswer where it takes no plugins."""
        pickled, name = plugin_pickle.for_scheduler(settings), f"{name}-scheduler"
        # Idempotent, since Dask warns of a second plugin of one name; the plugin that is there takes the settings.
        await self.ask("register_scheduler_plugin", kinds.INSTALLED, plugin=pickled, name=name, idempotent=True)
        if not settings.get("guest"):
            await self.settle(settings)

    async def settle(self, settings: dict[str, object]) -> None:
        """Replace the settings of the scheduler's plugin. Raises NoAnswer where it has none."""
        await self.ask("credagent-settings", kinds.ACKNOWLEDGED, settings=settings)

    async def report(self, address: str) -> AgentReport | None:
        """Ask one process about its agent; None where it has no plugin, or answers rubbish. Raises as `ask`."""
        return await self._of_process(address, kinds.REPORT, op="credagent-report")

    async def deliver(self, address: str, text: str) -> AgentReport | None:
        """Hand an envelope to the agent behind `address`; None as for `report`. Raises as `ask`."""
        return await self._of_process(address, kinds.DELIVERY, op="credagent-deliver", bundle=text)

    async def mail(self, nonce: str, content: dict[str, object]) -> None:
        """Put `content` where a worker that starts looks for it."""
        await self.ask("log_event", kinds.ACKNOWLEDGED, topic=MAILBOX + nonce, msg=content)

    def close(self) -> None:
        """Drop all connections."""
        for connection in list(self._open):
            self._drop(connection)

    async def _of_process(self, address: str, kind: AnswerKind, **message: object) -> AgentReport | None:
        if address == agent_report.SCHEDULER:
            operation = str(message.pop("op"))
            said: dict[str, Raw] = await self.ask(operation, kind, **message)
            return agent_report.parse({name: kinds.plain(value, Any, None) for name, value in said.items()}, address)
        answers: dict[str, Raw] = await self.ask(
            "broadcast", kind, msg=message, workers=[address], on_error="return_pickle"
        )
        return agent_report.parse(kinds.plain(answers.get(address, b""), Any, None), address)

    async def _register(self, connection: DaskConnection) -> None:
        await connection.send({"op": "register-client", "client": self.name, "reply": False, "versions": {}})
        try:
            async with asyncio.timeout(kinds.ACKNOWLEDGED.deadline_s):
                await connection.receive(kinds.EVENTS.limit_bytes)
        except TimeoutError:
            hint = "check whether the scheduler hangs; the forwarder tries again"
            raise Unavailable("silent", "the scheduler does not answer", what="dask", hint=hint) from None
        await connection.send([{"op": "subscribe-topic", "topic": TOPIC}])

    async def _connection(self) -> DaskConnection:
        return self._idle.pop() if self._idle else await self._connect()

    async def _connect(self) -> DaskConnection:
        place = self._place
        connection = await dask_protocol.connect(place.host, place.port, place.context, place.server_name)
        self._open.add(connection)
        return connection

    def _drop(self, connection: DaskConnection) -> None:
        self._open.discard(connection)
        connection.close()


async def _announcements(connection: DaskConnection) -> AsyncIterator[list[bytes]]:
    while True:
        try:
            frame = await connection.receive(kinds.EVENTS.limit_bytes)
            messages: list[Raw] = kinds.decode(frame, kinds.EVENTS)
        except NoAnswer:
            yield []  # something was announced, by whom is not known
            continue
        yield [bytes(said) for message in messages if (said := _announced(message)) is not None]


def _announced(message: Raw) -> Raw | None:
    found = kinds.plain(message, _EventMessage, None)
    if found is None or found.op != "event" or found.topic != TOPIC or len(found.event[1]) > kinds.REPORT_BYTES:
        return None
    said: Raw = found.event[1]
    return said
