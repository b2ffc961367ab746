"""What the agent says of itself: the snapshot behind `status`, and its socket's answers. Everything from memory."""

import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from msgspec import structs

from credagent import __version__
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.config.channel_grammar import SocketChannelSpec
from credagent.credentials import Slot
from credagent.daemon import process_look
from credagent.daemon.agent import Agent
from credagent.daemon.machine_attestation import MachineAttestation
from credagent.daemon.status_cache import ShortLivedCache
from credagent.errors import PermissionRefused, Refused, Unavailable
from credagent.handover.unix.agent_place import ends_with_its_exec
from credagent.operations.observability.status_document import (
    AgentSnapshot,
    BundleSnapshot,
    RefusalSnapshot,
    SlotSnapshot,
    Snapshot,
    WorkerSnapshot,
    document,
    text,
)
from credagent.slots import decision_reasons, slot_state

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from credagent.handover.refused_callers import RefusedCaller
    from credagent.handover.unix.peer_credentials import Caller
    from credagent.handover.unix.request_dispatch import Subscriber

PUSHED_BY = "socket"
Deliver = Callable[[str, str], Awaitable[str]]
"""Admits a pushed bundle from a channel; returns the outcome. Raises CredagentError."""


class AgentApi:
    """Satisfies the socket's `AgentOperations`."""

    def __init__(
        self,
        agent: Agent,
        *,
        deliver: Deliver,
        subscribers: Callable[[], "tuple[Subscriber, ...]"] = tuple,
        standing_errors: Callable[[], tuple[str, ...]] = tuple,
        refused_callers: "Callable[[], tuple[RefusedCaller, ...]]" = tuple,
        state_since: "Callable[[], datetime | None]" = lambda: None,
    ) -> None:
        """Answer for `agent`.

        `subscribers` are the workers that its socket keeps supplied, `standing_errors` the codes of what troubles
        whoever runs it, `refused_callers` the users who may not ask and did. `state_since`: since when it is in its
        present state, None where nobody keeps that.
        """
        self._agent, self._resolver = agent, agent.resolver
        self._deliver, self._subscribers, self._standing_errors = deliver, subscribers, standing_errors
        self._refused_callers, self._state_since = refused_callers, state_since
        self._clock = clock = agent.clock
        self._attestation = MachineAttestation(agent.clock)
        self._started, self._since = clock.monotonic(), clock.now()
        self._status = ShortLivedCache(self._begin_status, clock.monotonic)
        self.recent_snapshot = ShortLivedCache(self._snapshot_with_workers, clock.monotonic)

    def worker_document(self) -> dict[str, Any]:
        """Return what workers see now."""
        required = frozenset(slot for slot, rules in self._agent.settings.slots.slots.items() if rules.required)
        return self._agent.handover.document(
            self._resolver.present(),
            settled=self._resolver.settled,
            required=required,
            public_key=self.public_key or "",
        )

    def identity(self) -> dict[str, Any]:
        """Return what a sender has to know of this machine."""
        config = self._agent.config
        return {
            "public_key": self.public_key,
            "audience": config.agent.audience,
            "version": __version__,
            "trusts_identities": bool(config.bundle.trusted_identities),
        }

    async def attest(self, *, by_role: bool) -> dict[str, Any]:
        """Return what this machine's cloud says of its key. Raises Unavailable, also where it has no key of its own."""
        line = self.public_key
        if line is None:
            hint = "name the key that opens here to the sender: recipients= (--recipient)"
            raise Unavailable("no-key", "this machine has no key of its own", what="attestation", hint=hint)
        statement = KeyStatement(purpose=Purpose.RECIPIENT, key_line=line, audience=self._agent.config.agent.audience)
        return {"attestation": await self._attestation.text(statement, by_role=by_role)}

    def credential_process(self) -> dict[str, object] | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        return self._agent.handover.credential_process(self._resolver.present())

    def pass_sockets(self, connection: socket.socket) -> None:
        """Send the listening sockets to whoever stands by. Raises Refused where no `exec` takes over, OSError."""
        if not ends_with_its_exec(self._agent.locks[0].note):
            hint = "only an agent that an `exec` runs is taken over; a daemon is started again by its service manager"
            raise Refused("not-taken-over", "this agent is a daemon", hint=hint)
        self._agent.listening_sockets().send(connection)

    async def renew(self, slot: Slot | None) -> dict[str, Any]:
        """Try to renew one slot, or all."""
        outcomes = {}
        for chosen in Slot if slot is None else (slot,):
            outcomes[chosen.value] = await self._resolver.controllers[chosen].renew()
        return {"slots": outcomes}

    async def deliver(self, bundle: str, caller: "Caller") -> dict[str, Any]:
        """Admit what a caller delivers, where the configuration has a channel for that."""
        if not any(isinstance(channel, SocketChannelSpec) for channel in self._agent.config.bundle.channels):
            hint = 'add "socket" to bundle.channels of this machine'
            raise PermissionRefused("no-push-channel", "this agent takes no deliveries", what="the socket", hint=hint)
        try:
            outcome = await self._deliver(bundle, PUSHED_BY)
        finally:
            self.changed()
        in_force = self._resolver.admission.state.in_force
        return {"outcome": outcome, "bundle_id": in_force.bundle.bundle_id if in_force else None, "by": caller.uid}

    async def status(self) -> dict[str, Any]:
        """Return the status document; of this second, at worst. Hundreds of workers take none of the loop's time."""
        import asyncio  # noqa: PLC0415  `run --once` loads no loop where it need not

        return await asyncio.shield(self._status())

    def status_now(self) -> dict[str, Any]:
        """Return the status document, without an event loop."""
        return _complete(self.snapshot(), self._subscribers())

    def processes(self, pid: int | None) -> dict[str, Any]:
        """Return what subscribers have reported of themselves: of `pid`, or of the first ones."""
        from credagent.handover.unix.protocol import MOST_PROCESSES  # noqa: PLC0415  loaded with the socket's server

        chosen = [one for one in self._subscribers() if pid in (None, one.pid)][:MOST_PROCESSES]
        return {"processes": [{**structs.asdict(one), "since": text(one.since)} for one in chosen]}

    def changed(self) -> None:
        """Show from now on what has changed."""
        self._status.forget()
        self.recent_snapshot.forget()

    @property
    def public_key(self) -> str | None:
        """Return this machine's own public key as a line, None where it has none."""
        own = self._agent.settings.admission.keyring.own
        return own.public_key.line if own is not None else None

    @property
    def _key_id(self) -> str | None:
        own = self._agent.settings.admission.keyring.own
        return own.key_id if own is not None else None

    def snapshot(self) -> Snapshot:
        """Return everything that status shows but what only the kernel knows, and workers."""
        resolver, settings = self._resolver, self._agent.settings
        error = resolver.admission.state.withheld
        withheld = (error.code,) if error is not None else ()
        refused_now = tuple(refusal.code for refusal in resolver.refusals.present.values())
        unwritten = (self._agent.handover.error, resolver.admission.unsaved)
        written = tuple(error.code for error in unwritten if error is not None)
        return Snapshot(
            now=self._clock.now(),
            since=self._since,
            generation=resolver.present().generation,
            audience=self._agent.config.agent.audience,
            state_since=self._state_since(),
            public_key=self.public_key,
            key_id=self._key_id,
            slots={slot: self._slot(slot) for slot in Slot},
            bundle=self._bundle(),
            bundle_required=settings.slots.bundle_required,
            min_validity=settings.slots.min_validity,
            refused=tuple(resolver.refusals.recent),
            standing_errors=(*withheld, *refused_now, *written, *self._standing_errors()),
            refused_callers=tuple(
                RefusalSnapshot(uid=one.uid, count=one.count, at=one.at) for one in self._refused_callers()
            ),
            agent=AgentSnapshot(
                version=__version__,
                pid=os.getpid(),
                uptime_s=self._clock.monotonic() - self._started,
                configured_at=self._agent.configured_at,
                needs_restart=self._agent.needs_restart,
                clock_skew_s=self._agent.fetcher.skew_s,
            ),
        )

    def _slot(self, slot: Slot) -> SlotSnapshot:
        state, settings = self._resolver.controllers[slot].state, self._agent.settings.slots.slots[slot]
        source, situation = state.in_use, slot_state.situation(state, self._clock.now())
        return SlotSnapshot(
            content=state.content,
            tried=state.tried or self._resolver.waited_enough,
            statement=state.desired.statement,
            renew_at=state.renew_at(self._clock.now(), self._clock.monotonic()),
            renewable=source is not None and source.fetched,
            required=settings.required,
            handover=settings.handover,
            failure=state.failure,
            fallback=settings.fallback.value,
            falls_back_to=decision_reasons.falls_back_to(situation).value,
            because=decision_reasons.because(situation, forbidden=state.desired.forbidden),
            loud=state.decision.loud and state.desired.handed_over,
            life_passed=state.warned_share,
        )

    def _bundle(self) -> BundleSnapshot | None:
        admission = self._resolver.admission.state
        admitted = admission.in_force
        if admitted is None:
            return None
        bundle, attested = admitted.bundle, admission.saved.senders.get(admitted.sender_id)
        named = self._agent.settings.sender_names.get(admitted.sender_id, "")
        return BundleSnapshot(
            bundle_id=bundle.bundle_id,
            sender=admitted.sender_id,
            sender_name=named or (attested.identity.name if attested is not None else ""),
            sequence=bundle.sequence,
            issued_at=bundle.issued_at,
            not_after=bundle.not_after,
            channel=admitted.channel,
        )

    def _begin_status(self) -> "asyncio.Task[dict[str, Any]]":
        import asyncio  # noqa: PLC0415  `run --once` loads no loop where it need not

        return asyncio.create_task(asyncio.to_thread(_complete, self.snapshot(), self._subscribers()))

    def _snapshot_with_workers(self) -> Snapshot:
        return _with_workers(self.snapshot(), self._subscribers())


def _with_workers(snapshot: Snapshot, subscribers: "Iterable[Subscriber]") -> Snapshot:
    return structs.replace(
        snapshot,
        workers=tuple(
            WorkerSnapshot(pid=one.pid, uid=one.uid, role=one.role, generation=one.generation, since=one.since)
            for one in subscribers
        ),
    )


def _complete(snapshot: Snapshot, subscribers: "Iterable[Subscriber]") -> dict[str, Any]:
    """Return the status document of a snapshot, after a look at this process and at those of `subscribers`."""
    rss_bytes, uss_bytes = process_look.memory_bytes()
    measured = structs.replace(snapshot.agent, rss_bytes=rss_bytes, uss_bytes=uss_bytes)
    present = [one for one in subscribers if not process_look.is_gone(one.pid, one.since)]
    return document(_with_workers(structs.replace(snapshot, agent=measured), present))
