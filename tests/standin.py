"""An agent that says what a test tells it to: the real socket and server, with no bundle and no cloud behind them."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from credagent.credentials import Slot
from credagent.errors import Refused
from credagent.handover.unix import socket_file
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import Caller
from credagent.handover.unix.request_dispatch import Subscriber
from credagent.handover.unix.server import SocketServer

DEADLINE_S = 10.0

EMPTY_SLOTS: Mapping[str, Any] = {
    slot.value: {"filled": False, "required": False, "origin": "none", "expires_at": None} for slot in Slot
}


class StandIn:
    """Satisfies the server's `Agent`. `set` replaces what workers see."""

    def __init__(self, **environment: str) -> None:
        """Hand `environment` out as generation 1."""
        self.generation = 0
        self.delivered: list[tuple[str, int]] = []
        self.document: dict[str, Any] = {}
        self.set(environment)

    def set(
        self,
        environment: Mapping[str, str],
        *,
        overwrite: Mapping[str, str] | None = None,
        scrub: tuple[str, ...] = (),
        settled: bool = True,
        slots: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace the set, under the next generation."""
        self.generation += 1
        self.document = {
            "event": "set",
            "generation": self.generation,
            "settled": settled,
            "environment": dict(environment),
            "overwrite": dict(overwrite or {}),
            "scrub": list(scrub),
            "slots": {**EMPTY_SLOTS, **(slots or {})},
            "audience": "lab",
            "public_key": "",
            "takes_reports": True,
        }

    def worker_document(self) -> Mapping[str, object]:
        return self.document

    async def status(self) -> Mapping[str, object]:
        await asyncio.sleep(0)
        return {"version": 1, "state": "ready"}

    def processes(self, pid: int | None) -> Mapping[str, object]:
        return {"processes": [] if pid is None else [{"pid": pid}]}

    def identity(self) -> Mapping[str, object]:
        return {"public_key": "credagent-recipient:x25519:AAAA", "audience": "lab"}

    async def attest(self, *, by_role: bool) -> Mapping[str, object]:
        await asyncio.sleep(0)
        return {"attestation": f"credagent-attestation:1:test:{by_role}"}

    def credential_process(self) -> Mapping[str, object] | None:
        return None

    def pass_sockets(self, connection: socket.socket) -> None:
        connection.sendall(b'{"ok":true}\n')

    async def renew(self, slot: Slot | None) -> Mapping[str, object]:
        await asyncio.sleep(0)
        return {"slots": {slot.value if slot else "all": "renewed"}}

    async def deliver(self, bundle: str, caller: Caller) -> Mapping[str, object]:
        await asyncio.sleep(0)
        if bundle == "broken":
            raise Refused("signature", "not signed by a trusted sender", what="bundle")
        if bundle == "defect":
            raise ZeroDivisionError(bundle)
        self.delivered.append((bundle, caller.uid))
        return {"outcome": "admitted", "bundle_id": "b1"}


class Running:
    """A stand-in that listens at `path`, in a thread of its own; `stop` and `start` make it restart."""

    def __init__(self, path: str, agent: StandIn, admission: AccessRules | None = None) -> None:
        """Begin to listen."""
        self.path, self.agent = path, agent
        self.admission = admission or AccessRules(own_uid=os.geteuid())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    def start(self) -> None:
        """Listen, as an agent does that has just been started."""
        self._bound = socket_file.bind(self.path)
        self._server = SocketServer(self.agent, self.admission)
        self.on_loop(lambda: self._server.start(self._bound.sock))

    def stop(self) -> None:
        """End every connection, as an agent does that is gone."""

        async def close() -> None:
            self._server.close()

        self.on_loop(close)
        self._bound.close()

    def publish(self) -> None:
        """Send subscribers what the stand-in hands out now."""

        async def publish() -> None:
            self._server.publish()

        self.on_loop(publish)

    def replace(self, environment: Mapping[str, str], **rest: Any) -> None:
        """Set and publish."""
        self.agent.set(environment, **rest)
        self.publish()

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return who is subscribed now."""

        async def subscribers() -> tuple[Subscriber, ...]:
            return self._server.subscribers()

        return self.on_loop(subscribers)

    def on_loop(self, work: Callable[[], Any]) -> Any:
        """Run a coroutine function on the loop, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(DEADLINE_S)

    def __enter__(self) -> Self:
        """Be there for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Be gone."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()
