"""What the agent says of itself: the snapshot behind `status`, and its socket's answers. Everything from memory."""

import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credagent import __version__
from credagent.config.channel_grammar import SocketChannelSpec
from credagent.credentials import Slot
from credagent.daemon.agent import Agent
from credagent.daemon.status_cache import ShortLivedCache
from credagent.errors import PermissionRefused
from credagent.operations.observability.status_document import (
    AgentSnapshot,
    BundleSnapshot,
    RefusalSnapshot,
    SlotSnapshot,
    Snapshot,
    WorkerSnapshot,
    document,
)

if TYPE_CHECKING:
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
    ) -> None:
        """Answer for `agent`.

        `subscribers` are the workers that its socket keeps supplied, `standing_errors` the codes of what troubles
        whoever runs it, `refused_callers` the users who may not ask and did.
        """
        self._agent, self._resolver = agent, agent.resolver
        self._deliver, self._subscribers, self._standing_errors = deliver, subscribers, standing_errors
        self._refused_callers = refused_callers
        self._clock = clock = agent.clock
        self._started, self._since = clock.monotonic(), clock.now()
        self._memory = ShortLivedCache(_measured, clock.monotonic)
        self._looks = ShortLivedCache(dict[tuple[int, datetime], bool], clock.monotonic)
        self._document = ShortLivedCache(self._status_now, clock.monotonic)
        self.recent_snapshot = ShortLivedCache(self.snapshot, clock.monotonic)

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
        return {"public_key": self.public_key, "audience": self._agent.config.agent.audience, "version": __version__}

    def credential_process(self) -> dict[str, object] | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        return self._agent.handover.credential_process(self._resolver.present())

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

    def status(self) -> dict[str, Any]:
        """Return the status document, with this process's memory as the kernel counts it; of this second, at worst."""
        return self._document()

    def changed(self) -> None:
        """Show from now on what has changed."""
        self._document.forget()
        self.recent_snapshot.forget()

    @property
    def public_key(self) -> str | None:
        """Return this machine's own public key as a line, None where it has none."""
        own = self._agent.settings.admission.keyring.own
        return own.public_key.line if own is not None else None

    def snapshot(self, *, rss_bytes: int | None = None, uss_bytes: int | None = None) -> Snapshot:
        """Return everything that status shows."""
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
            public_key=self.public_key,
            slots={slot: self._slot(slot) for slot in Slot},
            bundle=self._bundle(),
            bundle_required=settings.slots.bundle_required,
            min_validity=settings.slots.min_validity,
            refused=tuple(resolver.refusals.recent),
            standing_errors=(*withheld, *refused_now, *written, *self._standing_errors()),
            refused_callers=tuple(
                RefusalSnapshot(uid=one.uid, count=one.count, at=one.at) for one in self._refused_callers()
            ),
            workers=tuple(self._workers()),
            agent=AgentSnapshot(
                version=__version__,
                pid=os.getpid(),
                uptime_s=self._clock.monotonic() - self._started,
                configured_at=self._agent.configured_at,
                clock_skew_s=self._agent.fetcher.skew_s,
                rss_bytes=rss_bytes,
                uss_bytes=uss_bytes,
            ),
        )

    def _slot(self, slot: Slot) -> SlotSnapshot:
        state, settings = self._resolver.controllers[slot].state, self._agent.settings.slots.slots[slot]
        source = state.in_use
        return SlotSnapshot(
            content=state.content,
            tried=state.tried or self._resolver.waited_enough,
            statement=state.desired.statement,
            renew_at=state.renew_at(self._clock.now(), self._clock.monotonic()),
            renewable=source is not None and source.fetched,
            required=settings.required,
            handover=settings.handover,
            failure=state.failure,
        )

    def _bundle(self) -> BundleSnapshot | None:
        admitted = self._resolver.admission.state.in_force
        if admitted is None:
            return None
        bundle = admitted.bundle
        return BundleSnapshot(
            bundle_id=bundle.bundle_id,
            sender=admitted.sender_id,
            sequence=bundle.sequence,
            issued_at=bundle.issued_at,
            not_after=bundle.not_after,
            channel=admitted.channel,
        )

    def _status_now(self) -> dict[str, Any]:
        rss_bytes, uss_bytes = self._memory()
        return document(self.snapshot(rss_bytes=rss_bytes, uss_bytes=uss_bytes))

    def _is_reused(self, pid: int, since: datetime) -> bool:
        """Tell what `_reused` tells, of this second: a status of 700 workers would ask the kernel as often."""
        looks = self._looks()
        if (pid, since) not in looks:
            looks[pid, since] = _reused(pid, since)
        return looks[pid, since]

    def _workers(self) -> "list[WorkerSnapshot]":
        return [
            WorkerSnapshot(pid=one.pid, uid=one.uid, role=one.role, generation=one.generation, since=one.since)
            for one in self._subscribers()
            if not self._is_reused(one.pid, one.since)
        ]


def _measured() -> tuple[int, int]:
    """Return this process's resident and private bytes."""
    import psutil  # noqa: PLC0415  only when somebody asks

    memory = psutil.Process().memory_full_info()
    return memory.rss, memory.uss


def _reused(pid: int, since: datetime) -> bool:
    """Tell whether `pid` is by now another process than the one that was known `since`: it started later."""
    if pid == 0:
        return False  # of another PID namespace: the kernel has no number for it here
    import psutil  # noqa: PLC0415  only when somebody asks

    try:
        return psutil.Process(pid).create_time() > since.timestamp()
    except psutil.NoSuchProcess:
        return not _exists(pid)  # with ProtectProc=invisible, other users' processes are only hidden
    except psutil.Error:
        return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
