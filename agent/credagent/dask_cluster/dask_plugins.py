"""What lives in each worker and in the scheduler while somebody forwards: speaks with the agent there, applies the set.

This file travels as source (see `luggage`) and is executed where nothing of credagent is installed: standard library
and distributed only, Python 3.9 and later. It carries no secret; what it passes on is sealed.
"""

# ruff: noqa: ANN401  Dask's servers, and a module that travels as text, have no types here

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import sys
import threading
import time
import types
from typing import Any, Mapping  # noqa: UP035  evaluated by the oldest Python that Dask supports

logger = logging.getLogger("distributed.credagent")

TOPIC = "credagent"
MAILBOX = "credagent-mail/"  # followed by the nonce of whoever waits
MAIL_PAUSE_S, LONGEST_MAIL_PAUSE_S = 0.05, 0.5
SPREAD_S = 1.0  # a worker whose task holds the GIL takes longer; nobody waits for it
DELIVERY_S = 30.0  # the agent asks a KMS before it answers, where one holds its key


class ForwardingPlugin:
    """One worker's or scheduler's link between the forwarder and the agent on its machine."""

    def __init__(self, side: Any, server: Any, role: str) -> None:
        """Keep `side`, the worker's side as a module. `settings` is replaced whenever a forwarder comes anew."""
        self._side, self._server, self._role = side, server, role
        self.settings: Mapping[str, Any] = {}
        self._session: Any = None
        self._address = ""
        self._tasks: set[Any] = set()

    def open_doors(self) -> None:
        """Let the forwarder ask and deliver through the scheduler."""
        self._server.handlers["credagent-report"] = self.report
        self._server.handlers["credagent-deliver"] = self.deliver
        self._server.handlers["credagent-settings"] = self.take

    async def take(self, settings: Mapping[str, Any]) -> bool:
        """Go on under another forwarder."""
        self.settings = settings
        await self._announce({})
        return True

    async def report(self) -> dict[str, Any]:
        """Return what this machine's agent says of itself."""
        return {**self._where(), **await _in_thread(self._agent)}

    async def deliver(self, bundle: str) -> dict[str, Any]:
        """Hand a sealed bundle to the agent; return what became of it."""
        outcome = await _in_thread(self._hand_over, bundle)
        if outcome.get("outcome") == "admitted":
            await self._spread()
        return {**self._where(), **await _in_thread(self._agent), **outcome}

    async def move_in(self, settings: Mapping[str, Any]) -> None:
        """Begin, or begin anew under another forwarder. A worker that starts waits here, before its first task.

        One who delivers a single bundle (`guest`) changes nothing that a forwarder has set.
        """
        if not settings.get("guest"):
            self.settings = settings
        self.open_doors()
        starting = self._role == "worker" and not _heartbeats(self._server)
        if self._session is None and self._side._role(self._server) is not None:  # noqa: SLF001  the two travel together
            self._session = self._side.start(self._role)
        if self._session is None:
            return  # this process is itself the sender, or shares the sender's environment
        if starting:
            await self._before_first_task(mailbox=bool(settings.get("mailbox")))
        else:
            await self._announce({})
            self._later(self._wait(None))

    async def _before_first_task(self, *, mailbox: bool) -> None:
        """Hold credentials before the first task runs, or have waited and said so."""
        deadline = time.monotonic() + self._side._configured_wait_s()  # noqa: SLF001  the two travel together
        nonce = os.urandom(16).hex()
        seen = await self._agent_within(deadline)
        if mailbox:
            self._tell({**seen, "nonce": nonce})
        wanted: Any = ()
        if seen.get("fault"):
            logger.warning(
                "The agent of %s is of no help here (%s): %s", socket.gethostname(), seen["fault"], seen.get("hint")
            )
        elif mailbox and seen.get("sender") != self.settings.get("sender"):
            wanted = await self._first_letter(nonce, deadline)
        await self._received(wanted, deadline)
        complete = await self._wait(max(0.0, deadline - time.monotonic()))
        if not complete and os.environ.get("CREDAGENT_WORKER_MISSING") == "exit":
            raise SystemExit(self._side.UNAVAILABLE)

    async def _first_letter(self, nonce: str, deadline: float) -> Any:
        mail = await self._mail(nonce, deadline)
        if mail is None:
            logger.warning("No bundle came from the forwarder in time: tasks start with what the agent has")
            return ()
        if "bundle" not in mail:
            logger.warning("The forwarder sends nothing here: %s", mail.get("why"))
            return ()
        outcome = await self.deliver(str(mail["bundle"]))
        self._tell({**outcome, "nonce": nonce})
        return mail.get("slots", ()) if outcome.get("outcome") in ("admitted", "unchanged") else ()

    async def _mail(self, nonce: str, deadline: float) -> Any:
        """Return what the forwarder put into the mailbox. It is fetched: nothing reaches a worker that starts."""
        pause = MAIL_PAUSE_S
        while time.monotonic() < deadline:
            events = await self._server.scheduler.events(topic=MAILBOX + nonce)
            if events:
                return events[-1][1]
            await asyncio.sleep(pause * (1 + random.random() / 4))  # noqa: S311  spreads load, hides nothing
            pause = min(pause * 1.5, LONGEST_MAIL_PAUSE_S)
        return None

    async def _received(self, slots: Any, deadline: float) -> None:
        """Wait until the agent has filled the named slots, and its subscription here has brought that set."""
        while slots and time.monotonic() < deadline:
            try:
                document = await _in_thread(self._side.ask, {"op": "set"})
            except (self._side.AgentAbsent, self._side.AgentRefused):
                return
            here = self._session._document or {}  # noqa: SLF001  the two travel together
            filled = all(document["slots"].get(slot, {}).get("filled") for slot in slots)
            if filled and here.get("generation", 0) >= document["generation"]:
                return
            await asyncio.sleep(0.02)

    async def _spread(self) -> None:
        """Give this machine's processes a moment to apply what their agent has now, so that the next task finds it."""
        deadline = time.monotonic() + SPREAD_S
        while time.monotonic() < deadline:
            try:
                status = await _in_thread(self._side.ask, {"op": "status"})
            except (self._side.AgentAbsent, self._side.AgentRefused):
                return
            if all(worker.get("generation") == status["generation"] for worker in status["workers"]):
                return
            await asyncio.sleep(0.02)

    async def _agent_within(self, deadline: float) -> dict[str, Any]:
        """Return the agent's word, giving one that is just starting the time that is left."""
        while True:
            seen: dict[str, Any] = await _in_thread(self._agent)
            if seen.get("fault") != "no-agent" or time.monotonic() >= deadline:
                return seen
            await asyncio.sleep(0.2)

    async def _announce(self, more: Mapping[str, Any]) -> None:
        self._tell({**await self.report(), **more})

    def _tell(self, message: Mapping[str, Any]) -> None:
        # A worker's own stream: a call to the scheduler would open a connection for each of a thousand workers.
        self._server.log_event(TOPIC, {**self._where(), **message})

    def _where(self) -> dict[str, Any]:
        self._address = self._address or ("scheduler" if self._role == "scheduler" else _address(self._server))
        place = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "parents": _parents()}
        return {"credagent": 1, "address": self._address, "role": self._role, **place}

    def _agent(self) -> dict[str, Any]:
        try:
            identity = self._side.ask({"op": "identity"})
            status = self._side.ask({"op": "status"})
        except self._side.AgentAbsent as error:
            return {"fault": "no-agent", "hint": str(error)}
        except self._side.AgentRefused as error:
            return {"fault": error.code, "hint": error.hint}
        bundle = status.get("status", status).get("bundle") or {}
        return {
            "public_key": identity.get("public_key"),
            "audience": identity.get("audience") or "",
            "sender": bundle.get("sender") or "",
            "bundle_id": bundle.get("bundle_id") or "",
        }

    def _hand_over(self, bundle: str) -> dict[str, Any]:
        try:
            answer = self._side.ask({"op": "deliver", "bundle": bundle}, timeout=DELIVERY_S)
        except self._side.AgentAbsent as error:
            return {"outcome": "no-agent", "hint": str(error)}
        except self._side.AgentRefused as error:
            return {"outcome": error.code, "hint": error.hint}
        return {"outcome": answer.get("outcome", "admitted")}

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for the first application; in a thread that does not keep this process from ending."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        complete: list[bool] = []

        def wait() -> None:
            complete.append(self._session.wait(seconds))
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=wait, name="credagent-wait", daemon=True).start()
        await done.wait()
        return complete[0]

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop keeps weak references only
        task.add_done_callback(self._tasks.discard)


def resident(side: Any, server: Any, role: str) -> ForwardingPlugin:
    """Return the resident of `server`, the same one however often a forwarder comes."""
    shared = sys.modules.setdefault("_credagent_residents", types.ModuleType("_credagent_residents"))
    known = shared.__dict__.setdefault("by_server", {})
    found = known.get(id(server))
    if found is None or found[0] is not server:
        known[id(server)] = found = (server, ForwardingPlugin(side, server, role))
    return found[1]  # type: ignore[no-any-return]


def unpack(side_source: str, make: Any, settings: Mapping[str, Any]) -> Any:
    """Return the plugin that `make` makes, with the worker's side as a module of its own that no import can find."""
    side = types.ModuleType("credagent_worker_carried")
    exec(compile(side_source, "credagent_worker.py", "exec"), side.__dict__)  # noqa: S102  what the forwarder sent
    return make(side, settings)


def worker_plugin(side: Any, settings: Mapping[str, Any]) -> Any:
    """Return the plugin for workers, late ones and restarted ones included."""
    from distributed.diagnostics.plugin import WorkerPlugin  # noqa: PLC0415  there, not here

    class CredagentForwarding(WorkerPlugin):
        name = "credagent-forwarding"

        async def setup(self, worker: Any) -> None:
            await resident(side, worker, "worker").move_in(settings)

    return CredagentForwarding()


def scheduler_plugin(side: Any, settings: Mapping[str, Any]) -> Any:
    """Return the plugin for the scheduler."""
    from distributed.diagnostics.plugin import SchedulerPlugin  # noqa: PLC0415  there, not here

    class CredagentForwarding(SchedulerPlugin):
        name = "credagent-forwarding-scheduler"

        async def start(self, scheduler: Any) -> None:
            await resident(side, scheduler, "scheduler").move_in(settings)

    return CredagentForwarding()


def _in_thread(work: Any, *arguments: Any) -> Any:
    return asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _heartbeats(worker: Any) -> bool:
    """Tell a running worker from one that starts: only the first can be reached by its handlers."""
    heartbeat = worker.periodic_callbacks.get("heartbeat")
    return heartbeat is None or bool(heartbeat.is_running())


def _address(worker: Any) -> str:
    """Return the worker's address as the scheduler lists it: with names resolved."""
    from distributed.comm.addressing import resolve_address  # noqa: PLC0415  as above

    given: str = worker.contact_address or worker.address
    try:
        return str(resolve_address(given))
    except (OSError, ValueError):
        return given


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def _parents() -> list[int]:
    """Return the pids of this process's parents, so that a sender recognises its own LocalCluster."""
    found: list[int] = []
    pid = os.getppid()
    while pid > 1 and len(found) < 8:  # noqa: PLR2004
        found.append(pid)
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read(1024).rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return found
