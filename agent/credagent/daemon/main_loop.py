"""Keeps a booted agent going: serves, renews, reloads, reports, and ends in order. The only event loop."""

import asyncio
import errno
import gc
import signal
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct, structs

from credagent import log
from credagent.config import Config
from credagent.credentials import origin_of
from credagent.daemon.agent import Agent
from credagent.daemon.agent_api import AgentApi
from credagent.daemon.channel_follower import ChannelFollower
from credagent.daemon.folder_supervisor import FolderSupervisor
from credagent.daemon.interception_check import InterceptionCheck
from credagent.daemon.socket_supervisor import SocketSupervisor
from credagent.errors import CredagentError
from credagent.handover.http.listeners import Listeners, start_listeners, start_metrics_listener, unix_http
from credagent.handover.http.metrics_endpoint import Observability
from credagent.handover.http.tcp_access import TcpAccess
from credagent.handover.refused_callers import RefusedCallers
from credagent.handover.unix.request_dispatch import Subscriber
from credagent.handover.unix.server import SocketServer
from credagent.log_throttle import LogThrottle
from credagent.metric_counters import HANDOVERS, REQUESTS
from credagent.operations.observability.status_document import State, state
from credagent.operations.systemd import notify
from credagent.tick import until_tick

Reread = Callable[[Config], tuple[Config, list[str]]]
"""Given the running configuration, returns the one to go over to, and the keys that wait for a restart."""


class Announced(Struct, frozen=True, kw_only=True):
    """What was said last: to subscribers (`generation`, `settled`), to the service manager (`ready`), in the log.

    `since`: when the agent came into that state.
    """

    generation: int = -1
    settled: bool = False
    ready: bool = False
    state: State | None = None
    since: datetime | None = None


class MainLoop:
    """A running agent."""

    def __init__(self, agent: Agent, reread: Reread) -> None:
        """Keep `agent` going; `reread` gives the configuration at a reload."""
        self.agent, self._reread = agent, reread
        self._follower = ChannelFollower(agent.resolver, agent.clock)
        refused = self._refused = RefusedCallers(agent.clock.now)
        self._api = AgentApi(
            agent,
            deliver=self._follower.deliver,
            subscribers=self._subscribers,
            standing_errors=self._standing_errors,
            refused_callers=refused.known,
            state_since=lambda: self._announced.since,
        )
        self._observability = Observability(self._api.recent_snapshot, agent.resolver.counters)
        self._count = partial(agent.resolver.counters.count, REQUESTS)
        http = unix_http(self._observability.answer, self._count)
        self._sockets = SocketSupervisor(
            agent,
            lambda: SocketServer(
                self._api,
                agent.settings.access,
                http,
                refused=refused,
                handed_over=partial(agent.resolver.counters.count, HANDOVERS, "subscription"),
            ),
        )
        self._folders = FolderSupervisor(agent, self._sockets)
        self._tcp = TcpAccess(agent.settings.access, monotonic=agent.clock.monotonic)
        self._listeners: list[Listeners] = []
        self._interception = InterceptionCheck(lambda: agent.config, on_change=self._announce)
        self._reload_error: tuple[str, ...] = ()
        self._stop = asyncio.Event()
        self._announced = Announced()
        self._settling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, reload at SIGHUP. The first task that fails stops all."""
        resolver = self.agent.resolver
        asyncio.get_running_loop().set_exception_handler(tell_of_a_defect)
        await self._serve()
        self._heed_signals()
        resolver.store.listen(lambda _old, _new: self._announce())
        self._announce()  # who is told that it is ready asks, and is answered at once
        gc.freeze()  # what a start has made lives as long as the process
        gc.enable()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(controller.run()) for controller in resolver.controllers.values()]
            tasks += [group.create_task(self._follower.look_again()), group.create_task(self._write_again())]
            tasks += [group.create_task(self._folders.keep()), group.create_task(self._feed_the_watchdog())]
            if self.agent.config.workers.intercept:
                tasks.append(group.create_task(self._interception.keep()))
            self._follow()
            await self._stop.wait()
            notify.stopping()
            self._follower.stop()
            for task in tasks:
                task.cancel()
        await self._close()
        log.info("agent_stopped")

    def reload(self) -> None:
        """Take the configuration as it stands now; a broken one is reported, and the old one stays."""
        notify.reloading(int(self.agent.clock.monotonic() * 1_000_000))
        try:
            config, late = self._reread(self.agent.config)
            self.agent.reconfigure(config, needs_restart=tuple(late))
        except CredagentError as error:
            self._reload_error = ("reload-failed",)
            log.error("reload_failed", code=error.code, why=str(error), hint=error.hint)
        except Exception as error:  # noqa: BLE001  a defect: the service manager waits for an end all the same
            self._reload_error = ("reload-failed",)
            log.error("reload_failed", code="internal", why=type(error).__name__, hint="the old configuration stays")
        else:
            self._reload_error = ()
            admission = self.agent.settings.access
            self._tcp = TcpAccess(admission, monotonic=self.agent.clock.monotonic)
            for server in self._sockets.servers:
                server.rules = admission
            self._follow()
            log.start(config.log.level, config.log.format)
            log.info("configuration_reloaded", needs_restart=late)
        self._announced = structs.replace(self._announced, generation=-1)
        self._announce()
        notify.ready(self._sentence())

    def _heed_signals(self) -> None:
        """Act on signals, also on those that came during the start and were held back."""
        actions = {signal.SIGTERM: self._stop.set, signal.SIGINT: self._stop.set, signal.SIGHUP: self.reload}
        for number, act in actions.items():
            asyncio.get_running_loop().add_signal_handler(number, act)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, actions)

    async def _serve(self) -> None:
        agent = self.agent
        await self._sockets.serve()
        if agent.handover.sockets:
            self._listeners.append(
                await start_listeners(
                    agent.handover.sockets,
                    source=agent.resolver.present_at,
                    now=agent.clock.now,
                    admits=self._admits,
                    count=self._count,
                    took=agent.resolver.counters.took,
                    served=agent.handover.served,
                    machine_region=agent.handover.machine_region,
                    redirected=self._interception.redirected,
                    refused=self._refused,
                )
            )
        if agent.handover.metrics:
            answer = self._observability.answer
            self._listeners.append(await start_metrics_listener(agent.handover.metrics, answer, self._count))

    async def _close(self) -> None:
        await asyncio.gather(self._sockets.close(), *(listeners.close() for listeners in self._listeners))

    def _admits(self, uid: int) -> bool:
        """Ask the present admission: a reload replaces it under the listeners."""
        return self._tcp.admits(uid)

    def _subscribers(self) -> tuple[Subscriber, ...]:
        return self._sockets.subscribers()

    def _standing_errors(self) -> tuple[str, ...]:
        lost = (self._folders.trouble,) if self._folders.trouble else ()
        unknown = () if all(one.tells_callers_apart for one in self._listeners) else ("callers-unknown",)
        problems = (*self._reload_error, *lost, *unknown, *self._interception.problems)
        return (*problems, *self._follower.standing_errors())

    def _announce(self) -> None:
        """Tell subscribers, the service manager and the log what is new, once."""
        self._api.changed()
        resolver, said = self.agent.resolver, self._announced
        if (said.generation, said.settled) != (resolver.store.current.generation, resolver.settled):
            for server in self._sockets.servers:
                server.publish()
        present, settled = state(self._api.snapshot()), resolver.settled
        self._announced = Announced(
            generation=resolver.store.current.generation,
            settled=settled,
            ready=said.ready or settled,
            state=present,
            since=said.since if present is said.state else self.agent.clock.now(),
        )
        if self._announced.ready and not said.ready:
            notify.ready(self._sentence())
        elif present is not said.state:
            notify.status(self._sentence())
        if present is not said.state:
            log.info("state_changed", before=said.state and said.state.value, state=present.value)

    def _sentence(self) -> str:
        """Return the one line that `systemctl status` shows."""
        snapshot = self._api.snapshot()
        origins = ", ".join(f"{slot.value}: {origin_of(shown.content)}" for slot, shown in snapshot.slots.items())
        return f"{state(snapshot).value}, generation {snapshot.generation} ({origins})"

    def _follow(self) -> None:
        """Follow the channels of the present configuration. They, and all slots, get the time that it gives them."""
        self._follower.follow(self.agent.settings.channels)
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(self.agent.config.agent.settle_s, self._settle)

    def _settle(self) -> None:
        resolver = self.agent.resolver
        if not resolver.settled or resolver.unresolved:
            log.warning("not_settled", after_s=self.agent.config.agent.settle_s, unread=sorted(resolver.unlooked))
        resolver.wait_no_longer()

    async def _write_again(self) -> None:
        """Write what could not be written, for ever: the disk may have room again, and workers that start read it."""
        while True:
            await self.agent.clock.sleep(until_tick(self.agent.clock.monotonic()))
            if self.agent.handover.error is not None:
                self.agent.handover.write(self.agent.resolver.store.current)
                self._announce()

    async def _feed_the_watchdog(self) -> None:
        interval = notify.watchdog_interval_s()
        while interval is not None:
            notify.alive()
            await asyncio.sleep(min(interval, until_tick(self.agent.clock.monotonic())))


_failures_said = LogThrottle()
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def tell_of_a_defect(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what failed in a callback and where; not what asyncio says: it shows arguments, and exceptions have texts.

    Each is said once a minute: where no descriptor is left, asyncio reports every attempt to accept a connection.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
        if _failures_said.is_news("descriptors"):
            hint = "raise LimitNOFILE= of the unit, or see who opens so many connections (ss -xp, ss -tnp)"
            log.error("out_of_descriptors", reason=error.strerror, hint=hint)
        return
    where, trace = "", error.__traceback__ if isinstance(error, BaseException) else None
    while trace is not None:
        where, trace = f"{trace.tb_frame.f_globals.get('__name__', '')}:{trace.tb_lineno}", trace.tb_next
    if _failures_said.is_news((type(error).__name__, where)):
        log.error("callback_failed", kind=type(error).__name__, where=where)
