"""Carries questions, envelopes and mail over a scheduler's connections, and hears what is announced. Decides nothing.

This is a client of its own, of the few operations it needs; see `wire` for why it is not distributed's.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from credagent.dask_cluster import agent_report, dask_protocol, plugin_pickle
from credagent.dask_cluster.dask_plugins import MAILBOX, TOPIC
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.errors import Unavailable

AT_ONCE = 32  # connections to the scheduler; each broadcast makes it connect to a worker
ASK_S = 10.0
DELIVER_S = 45.0  # the agent may ask a KMS first
INSTALL_S = 60.0  # the scheduler waits until each running worker has unpacked and reported
FORWARDERS = "credagent-forwarders"
RESIDENT, GUEST = "credagent-forwarding", "credagent-delivery"  # a guest never takes a forwarder's place
MOST_WORKERS = 65_536


class SchedulerClient:
    """One connection to one scheduler: a stream of events, and a pool of wires for questions."""

    def __init__(self, place: SchedulerAddress, name: str) -> None:
        """Connect with `open`. `name` is how the scheduler lists this client."""
        self._place = place
        self.name = name
        self._idle: list[dask_protocol.DaskConnection] = []
        self._all: set[dask_protocol.DaskConnection] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def ask(self, operation: str, *, deadline_s: float = ASK_S, **fields: object) -> Any:  # noqa: ANN401  plain values
        """Return the scheduler's answer. Raises Unavailable when there is none in time, or it failed."""
        async with self._slots:
            line = self._idle.pop() if self._idle else await self._connect()
            try:
                async with asyncio.timeout(deadline_s):
                    await line.send({"op": operation, "reply": True, **fields})
                    answer = await line.receive()
            except TimeoutError:
                self._drop(line)
                raise Unavailable("silent", f"no answer within {deadline_s:.0f} s", what="dask") from None
            except BaseException:
                self._drop(line)
                raise
            self._idle.append(line)
        if isinstance(answer, dict) and answer.get("status") == "uncaught-error":
            # The exception itself is a pickle, which is not opened; its text is somebody else's.
            raise Unavailable("scheduler-failed", f"the scheduler could not {operation}", what="dask", retry=False)
        return answer

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Subscribe to what residents and other forwarders announce; the connection is this client's presence."""
        line = await self._connect()
        try:
            await line.send({"op": "register-client", "client": self.name, "reply": False, "versions": {}})
            async with asyncio.timeout(ASK_S):
                await line.receive()
            for topic in (TOPIC, FORWARDERS):
                await line.send([{"op": "subscribe-topic", "topic": topic}])
            yield self._events(line)
        except TimeoutError:
            raise Unavailable("silent", "the scheduler does not answer", what="dask") from None
        finally:
            self._drop(line)

    async def addresses(self) -> set[str]:
        """Return the addresses of all workers."""
        found = await self.ask("ncores")
        return (
            set(itertools.islice(filter(agent_report.is_address, found), MOST_WORKERS))
            if isinstance(found, dict)
            else set()
        )

    async def install(self, settings: dict[str, object], name: str = RESIDENT) -> None:
        """Put the resident into all workers, present and future, in place of what had this `name`."""
        parcel = plugin_pickle.for_workers(settings)
        await self.ask("register_worker_plugin", deadline_s=INSTALL_S, plugin=parcel, name=name, idempotent=False)

    async def install_in_scheduler(self, settings: dict[str, object], name: str = RESIDENT) -> None:
        """Put the resident into the scheduler. Raises Unavailable where it takes no plugins."""
        parcel, name = plugin_pickle.for_scheduler(settings), f"{name}-scheduler"
        # Idempotent, since Dask warns of a second plugin of one name; the resident that is there takes the settings.
        await self.ask("register_scheduler_plugin", deadline_s=INSTALL_S, plugin=parcel, name=name, idempotent=True)
        if not settings.get("guest"):
            await self.ask("credagent-settings", settings=settings)

    async def report(self, address: str) -> agent_report.AgentReport | None:
        """Ask one process about its agent; None for no answer, or one that is none."""
        return agent_report.parse(await self._resident(address, ASK_S, op="credagent-report"), address)

    async def deliver(self, address: str, text: str) -> agent_report.AgentReport | None:
        """Hand an envelope to the agent behind `address`; None for no answer, or one that is none."""
        return agent_report.parse(
            await self._resident(address, DELIVER_S, op="credagent-deliver", bundle=text), address
        )

    async def mail(self, nonce: str, content: dict[str, object]) -> None:
        """Put `content` where a worker that starts looks for it."""
        await self.announce(MAILBOX + nonce, content)

    async def announce(self, topic: str, content: dict[str, object]) -> None:
        """Log an event."""
        await self.ask("log_event", topic=topic, msg=content)

    async def history(self, topic: str) -> list[Any]:
        """Return what was logged under `topic`, oldest first."""
        found = await self.ask("events", topic=topic)
        return [entry[1] for entry in found if isinstance(entry, list) and len(entry) == _ENTRY] if found else []

    def close(self) -> None:
        """Drop all connections."""
        for line in list(self._all):
            self._drop(line)

    async def _resident(self, address: str, deadline_s: float, **message: object) -> Any:  # noqa: ANN401  plain values
        if address == agent_report.SCHEDULER:
            operation = str(message.pop("op"))
            return await self.ask(operation, deadline_s=deadline_s, **message)
        answers = await self.ask(
            "broadcast", deadline_s=deadline_s, msg=message, workers=[address], on_error="return_pickle"
        )
        return answers.get(address) if isinstance(answers, dict) else None

    async def _connect(self) -> dask_protocol.DaskConnection:
        line = await dask_protocol.connect(self._place.host, self._place.port, self._place.context)
        self._all.add(line)
        return line

    def _drop(self, line: dask_protocol.DaskConnection) -> None:
        self._all.discard(line)
        line.close()

    async def _events(self, line: dask_protocol.DaskConnection) -> AsyncIterator[tuple[str, Any]]:
        while True:
            messages = await line.receive()
            for message in messages if isinstance(messages, list) else ():
                entry = _entry(message)
                if entry is not None:
                    yield entry


_ENTRY = 2  # (time, message)


def _entry(message: object) -> tuple[str, Any] | None:
    if not isinstance(message, dict) or message.get("op") != "event":
        return None
    topic, event = message.get("topic"), message.get("event")
    if not isinstance(topic, str) or not isinstance(event, list) or len(event) != _ENTRY:
        return None
    return topic, event[1]
