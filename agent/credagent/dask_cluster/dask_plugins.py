"""What runs in each worker and in the scheduler while somebody forwards: it speaks with the agent on that machine.

This file travels as source (see `plugin_pickle`) and is executed where nothing of credagent is installed: standard
library and distributed only, Python 3.9 and later. It carries no secret; what it passes on is sealed.
"""

# ruff: noqa: ANN401  Dask's servers have no types here

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
from datetime import datetime, timezone
from typing import Any, Mapping, Protocol  # noqa: UP035  evaluated by the oldest Python that Dask supports

logger = logging.getLogger("distributed.credagent")

TOPIC = "credagent"
MAILBOX = "credagent-mail/"  # followed by the nonce of the worker that waits
MAIL_PAUSE_S, LONGEST_MAIL_PAUSE_S = 0.05, 0.5
ASK_AGAIN_S = 2.0  # between two requests of a worker that waits: an event may be lost, or a forwarder just coming up
SPREAD_S = 1.0  # a worker whose task holds the GIL takes longer; nobody waits for it
DELIVERY_S = 30.0  # the agent asks a KMS before it answers, where one holds its key
TAKEN = ("admitted", "unchanged")
SLOT_STATUS = ("origin", "principal", "expires_at", "required", "last_error")  # what the dashboard shows of a slot
OWN_PROCESS = "own-process"  # no fault: the scheduler of dask-jobqueue, for one, runs in its user's own process


class WorkerSession(Protocol):
    """What is used of `credagent_worker.Session`. `generation`: of the set that this process has in place."""

    generation: int | None

    def wait(self, wait_s: float | None = None) -> bool:
        """Wait for a complete set and put it into place."""
        ...


class PageModule(Protocol):
    """What is used of the module `credentials_page`, which travels along to the scheduler."""

    STATUS: str

    def add_to(self, scheduler: Any, status: Any) -> None:
        """Add the page to the scheduler's dashboard."""
        ...


class WorkerSide(Protocol):
    """What is used of the module `credagent_worker`, which travels along and is executed beside this one.

    Methods stand for the module's functions. A type checker compares this with the module (see `plugin_pickle`), so
    that nothing can be asked of it that it does not have.
    """

    UNAVAILABLE: int

    @property
    def AgentAbsent(self) -> type[Exception]:  # noqa: N802  the name of a class
        """Return the error for no agent."""
        ...

    @property
    def AgentRefused(self) -> type[Exception]:  # noqa: N802  the name of a class
        """Return the error for an agent that says no; it has `code` and `hint`."""
        ...

    def ask(self, request: Mapping[str, object], path: str | None = None, timeout: float = 10.0) -> dict[str, Any]:
        """Return the agent's answer."""
        ...

    def start(self, role: str) -> WorkerSession | None:
        """Begin to supply this process."""
        ...

    def role_of(self, server: object) -> str | None:
        """Return the role of a Dask server, None where its process is not ours to change."""
        ...

    def configured_wait_s(self) -> float:
        """Return how long a worker waits at its start."""
        ...

    def known_generation(self, session: WorkerSession) -> int:
        """Return the generation of the newest set that the agent has sent to this process."""
        ...


class ForwardingPlugin:
    """One worker's or scheduler's link between the forwarder and the agent on its machine."""

    def __init__(self, side: WorkerSide, server: Any, role: str) -> None:
        """Keep the worker's side as a module. `settings` is replaced whenever a forwarder comes anew."""
        self._side, self._server, self._role = side, server, role
        self.settings: Mapping[str, Any] = {}
        self._session: WorkerSession | None = None
        self._address = ""
        self._left = ("", "")
        self._tasks: set[Any] = set()

    async def begin(self, settings: Mapping[str, Any]) -> None:
        """Begin, or go on under another forwarder. A worker that starts waits here, before its first task.

        One who delivers a single bundle (`guest`) changes nothing that a forwarder has set. Raises SystemExit where
        CREDAGENT_WORKER_MISSING says `exit` and a required slot stayed empty.
        """
        if not settings.get("guest"):
            self.settings = settings
        self._register_handlers()
        starting = self._role == "worker" and not _heartbeats(self._server)
        if self._session is None and self._side.role_of(self._server) is not None:
            self._session = self._side.start(self._role)
        if self._session is None:
            return  # this process is itself the sender, or shares the sender's environment
        if starting:
            await self._before_first_task(self._session)
        else:
            await self._announce()
            self._later(_wait(self._session, None))

    async def take_settings(self, settings: Mapping[str, Any]) -> bool:
        """Go on under another forwarder, or know that none is at work any more."""
        self.settings = settings
        await self._announce()
        return True

    async def report(self) -> dict[str, Any]:
        """Return what this machine's agent says of itself, and which forwarder this process knows of."""
        return {**self._place(), **self._forwarder(), **await _in_thread(self._agent)}

    async def status(self) -> dict[str, Any]:
        """Return what the dashboard shows of this process and of the agent here: names, times and codes, no secret."""
        generation = self._session.generation if self._session is not None else None
        agent = await _in_thread(self._agent_status)
        known = {**self._forwarder(), **self._away(), "grounds": self.settings.get("grounds") or {}}
        return {**self._place(), **known, "generation": generation, **agent}

    def client_left(self, name: str) -> None:
        """Note when the forwarder's connection to the scheduler has ended; only the scheduler is told of it."""
        if name == self.settings.get("forwarder"):
            now = datetime.now(timezone.utc)  # noqa: UP017  datetime.UTC is of Python 3.11
            self._left = (name, now.strftime("%Y-%m-%dT%H:%M:%SZ"))

    async def deliver(self, bundle: str) -> dict[str, Any]:
        """Hand a sealed bundle to the agent; return what became of it."""
        outcome = await _in_thread(self._hand_over, bundle)
        if outcome.get("outcome") == "admitted":
            await self._spread()
            self._later(self._announce())  # who else forwards to this machine finds out
        return {**await self.report(), **outcome}

    def _answers_mail(self) -> bool:
        return bool(self.settings.get("forwarder")) and not self.settings.get("ended")

    def _register_handlers(self) -> None:
        """Let the forwarder ask and deliver through the scheduler."""
        self._server.handlers["credagent-report"] = self.report
        self._server.handlers["credagent-deliver"] = self.deliver
        self._server.handlers["credagent-settings"] = self.take_settings
        self._server.handlers["credagent-status"] = self.status

    async def _before_first_task(self, session: WorkerSession) -> None:
        """Hold credentials before the first task runs, or have waited and said so."""
        deadline = time.monotonic() + self._side.configured_wait_s()
        seen = await self._agent_within(deadline)
        slots: Any = ()
        if seen.get("fault"):
            logger.warning(
                "The agent of %s is of no help here (%s): %s", socket.gethostname(), seen["fault"], seen.get("hint")
            )
        elif self._answers_mail() and seen.get("sender") != self.settings.get("sender"):
            slots = await self._first_bundle(seen, deadline)
        await self._received(session, slots, deadline)
        complete = await _wait(session, max(0.0, deadline - time.monotonic()))
        if not complete and os.environ.get("CREDAGENT_WORKER_MISSING") == "exit":
            logger.warning("This worker has not got what it should, and ends: CREDAGENT_WORKER_MISSING=exit")
            raise SystemExit(self._side.UNAVAILABLE)

    async def _first_bundle(self, seen: Mapping[str, Any], deadline: float) -> Any:
        """Fetch a bundle and hand it to the agent; return the slots that it fills.

        Nothing reaches a worker that starts, so it announces a mailbox and looks into it. Several forwarders may
        answer, of whom the agent trusts some: each answer is tried. A bundle that the agent calls too old is asked for
        afresh.
        """
        nonce = os.urandom(16).hex()
        request = {**seen, "nonce": nonce, "outcome": ""}
        why, read, pause, asked = "No bundle came from the forwarder in time", 0, MAIL_PAUSE_S, float("-inf")
        while time.monotonic() < deadline:
            if time.monotonic() - asked > ASK_AGAIN_S:
                if not request.get("attestation"):  # it may have taken its agent a moment
                    request.update(await _in_thread(self._attestation))
                self._tell(request)
                asked = time.monotonic()
            mails = await self._server.scheduler.events(topic=MAILBOX + nonce)
            for _, mail in mails[read:]:
                read += 1
                if "bundle" not in mail:
                    why, deadline = f"The forwarder sends nothing here ({mail.get('why')})", 0.0
                    continue
                result = await self.deliver(str(mail["bundle"]))
                outcome = str(result.get("outcome"))
                if outcome in TAKEN:
                    self._later(self._announce())
                    return mail.get("slots", ())
                why = f"The agent refuses what the forwarder sent ({outcome})"
                if outcome == "too-old" != request["outcome"]:
                    request["outcome"], asked = outcome, float("-inf")
                else:  # whose forwarder the agent trusts may still answer
                    deadline = min(deadline, time.monotonic() + (ASK_AGAIN_S if outcome == "untrusted-sender" else 0))
            await asyncio.sleep(pause * (1 + random.random() / 4))  # noqa: S311  spreads load, hides nothing
            pause = min(pause * 1.5, LONGEST_MAIL_PAUSE_S)
        logger.warning("%s: tasks start with what the agent has", why)
        return ()

    async def _received(self, session: WorkerSession, slots: Any, deadline: float) -> None:
        """Wait until the agent has filled the named slots, and its subscription here has brought that set."""
        while slots and time.monotonic() < deadline:
            try:
                document = await _in_thread(self._side.ask, {"op": "set"})
            except (self._side.AgentAbsent, self._side.AgentRefused):
                return
            filled = all(document["slots"].get(slot, {}).get("filled") for slot in slots)
            if filled and self._side.known_generation(session) >= document["generation"]:
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
        """Return what the agent says, giving one that is just starting the time that is left."""
        while True:
            seen: dict[str, Any] = await _in_thread(self._agent)
            if seen.get("fault") != "no-agent" or time.monotonic() >= deadline:
                return seen
            await asyncio.sleep(0.2)

    async def _announce(self) -> None:
        self._tell(await self.report())

    def _tell(self, message: Mapping[str, Any]) -> None:
        # A worker's own stream: a call to the scheduler would open a connection for each of a thousand workers.
        self._server.log_event(TOPIC, {**self._place(), **message})

    def _place(self) -> dict[str, Any]:
        self._address = self._address or ("scheduler" if self._role == "scheduler" else _address(self._server))
        return {"credagent": 1, "address": self._address, "host": socket.gethostname(), "boot": _boot()}

    def _forwarder(self) -> dict[str, Any]:
        return {
            "forwarder": self.settings.get("forwarder", ""),
            "forwarder_sender": self.settings.get("sender", ""),
            "forwarder_ended": self.settings.get("ended", ""),
        }

    def _away(self) -> dict[str, str]:
        """Return since when the forwarder is not connected, nothing where it is, or has come back."""
        name, since = self._left
        gone = since and name == self.settings.get("forwarder") and name not in self._server.clients
        return {"forwarder_away_since": since} if gone else {}

    def _answers(self, *operations: str) -> list[dict[str, Any]] | dict[str, Any]:
        """Return what the agent answers to each of `operations`, or the fault that keeps it from answering."""
        if self._session is None:  # known here, in this very process: numbers of processes prove nothing
            return {"fault": OWN_PROCESS, "hint": "this process is a sender's own and has the identity already"}
        try:
            return [self._side.ask({"op": operation}) for operation in operations]
        except (self._side.AgentAbsent, self._side.AgentRefused) as error:
            return {"fault": getattr(error, "code", "no-agent"), "hint": getattr(error, "hint", str(error))}

    def _agent_status(self) -> dict[str, Any]:
        answers = self._answers("status")
        if isinstance(answers, dict):
            return answers
        (status,) = answers
        bundle = status.get("bundle") or {}
        slots = {name: {field: slot.get(field) for field in SLOT_STATUS} for name, slot in status["slots"].items()}
        shown = {name: status.get(name) for name in ("state", "generation", "public_key")}
        last = {
            **{name: bundle.get(name) for name in ("sender", "issued_at")},
            "refused": (bundle.get("refused") or [])[-1:],
        }
        return {"agent": {**shown, "slots": slots, "bundle": last}}

    def _agent(self) -> dict[str, Any]:
        answers = self._answers("identity", "status")
        if isinstance(answers, dict):
            return answers
        identity, status = answers
        bundle = status.get("status", status).get("bundle") or {}
        return {
            "public_key": identity.get("public_key"),
            "audience": identity.get("audience") or "",
            "sender": bundle.get("sender") or "",
            "bundle_id": bundle.get("bundle_id") or "",
            "state": status.get("state") or "",
            "trouble": ", ".join([*(status.get("problems") or ()), *_slot_errors(status.get("slots") or {})]),
            "trusts_identities": bool(identity.get("trusts_identities")),
            **self._attestation(),
        }

    def _attestation(self) -> dict[str, Any]:
        """Return what the cloud says of this machine's key, where the forwarder asks for it; else why there is none."""
        wanted = self.settings.get("attest")
        if not wanted:
            return {}
        try:
            answer = self._side.ask({"op": "attest", "by_role": wanted == "role"})
        except (self._side.AgentAbsent, self._side.AgentRefused) as error:
            code, hint = getattr(error, "code", "no-agent"), getattr(error, "hint", str(error))
            return {"attestation_fault": code, "attestation_hint": hint}
        return {"attestation": answer.get("attestation") or ""}

    def _hand_over(self, bundle: str) -> dict[str, Any]:
        try:
            answer = self._side.ask({"op": "deliver", "bundle": bundle}, timeout=DELIVERY_S)
        except (self._side.AgentAbsent, self._side.AgentRefused) as error:
            return {"outcome": getattr(error, "code", "no-agent"), "hint": getattr(error, "hint", str(error))}
        return {"outcome": answer.get("outcome", "admitted")}

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop keeps weak references only
        task.add_done_callback(self._tasks.discard)


def plugin_of(side: WorkerSide, server: Any, role: str) -> ForwardingPlugin:
    """Return the plugin of `server`, the same one however often a forwarder comes."""
    shared = sys.modules.setdefault("_credagent_plugins", types.ModuleType("_credagent_plugins"))
    known = shared.__dict__.setdefault("by_server", {})
    found = known.get(id(server))
    if found is None or found[0] is not server:
        known[id(server)] = found = (server, ForwardingPlugin(side, server, role))
    return found[1]  # type: ignore[no-any-return]  # a made-up module holds it


def unpack(sources: Mapping[str, str], make: Any, settings: Mapping[str, Any]) -> Any:
    """Return the plugin that `make` makes, with what travelled along as modules of its own that no import can find."""
    modules = []
    for name, source in sources.items():
        modules.append(types.ModuleType(f"{name}_carried"))
        exec(compile(source, f"{name}.py", "exec"), modules[-1].__dict__)  # noqa: S102  what the forwarder sent
    return make(*modules, settings)


def worker_plugin(side: WorkerSide, settings: Mapping[str, Any]) -> Any:
    """Return the plugin for workers, late ones and restarted ones included."""
    from distributed.diagnostics.plugin import WorkerPlugin  # noqa: PLC0415  there, not here

    class CredagentForwarding(WorkerPlugin):
        name = "credagent-forwarding"

        async def setup(self, worker: Any) -> None:
            await plugin_of(side, worker, "worker").begin(settings)

    return CredagentForwarding()


def scheduler_plugin(side: WorkerSide, page: PageModule, settings: Mapping[str, Any]) -> Any:
    """Return the plugin for the scheduler, which also shows the page *Credentials*."""
    from distributed.diagnostics.plugin import SchedulerPlugin  # noqa: PLC0415  there, not here

    class CredagentForwarding(SchedulerPlugin):
        name = "credagent-forwarding-scheduler"

        async def start(self, scheduler: Any) -> None:
            plugin = plugin_of(side, scheduler, "scheduler")
            await plugin.begin(settings)
            page.add_to(scheduler, plugin.status)

        def remove_client(self, scheduler: Any, client: str) -> None:
            plugin_of(side, scheduler, "scheduler").client_left(client)

    return CredagentForwarding()


async def _wait(session: WorkerSession, seconds: float | None) -> bool:
    """Wait for the first application; in a thread that does not keep this process from ending."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    complete: list[bool] = []

    def wait() -> None:
        complete.append(session.wait(seconds))
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=wait, name="credagent-wait", daemon=True).start()
    await done.wait()
    return complete[0]


def _slot_errors(slots: Mapping[str, Any]) -> list[str]:
    """Return `SLOT: CODE` of each slot whose last attempt failed."""
    return [f"{name}: {slot['last_error']['code']}" for name, slot in slots.items() if slot.get("last_error")]


def _in_thread(work: Any, *arguments: Any) -> Any:
    return asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _heartbeats(worker: Any) -> bool:
    """Tell a running worker from one that starts: only the first can be reached by its handlers."""
    heartbeat = worker.periodic_callbacks.get("heartbeat")
    return heartbeat is None or bool(heartbeat.is_running())


def _address(worker: Any) -> str:
    """Return the worker's address as the scheduler lists it: with names resolved."""
    from distributed.comm.addressing import resolve_address  # noqa: PLC0415  there, not here

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
