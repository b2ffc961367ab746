"""Keeps a booted service going: serves, renews, reloads, reports, and ends in order. The only event loop."""

import asyncio
import errno
import signal
from collections.abc import Callable
from typing import Any

from credagent import log
from credagent.config import Config
from credagent.credentials import origin_of
from credagent.daemon.agent import Agent
from credagent.daemon.agent_api import AgentApi
from credagent.daemon.channel_follower import AGAIN_S, ChannelFollower
from credagent.daemon.socket_supervisor import SocketSupervisor
from credagent.errors import CredagentError
from credagent.event_counters import REQUESTS
from credagent.handover.http.listeners import Listeners, start_listeners, start_metrics_listener, unix_http
from credagent.handover.http.metrics_endpoint import Observability
from credagent.handover.http.tcp_access import TcpAccess
from credagent.handover.unix.server import SocketServer
from credagent.log_throttle import LogThrottle
from credagent.operations.observability.status_document import State, state
from credagent.operations.systemd import notify

Reread = Callable[[Config], tuple[Config, list[str]]]
"""Given the running configuration, returns the one to go over to, and the keys that wait for a restart."""


class MainLoop:
    """A running service."""

    def __init__(self, service: Agent, reread: Reread, *, ready: bool) -> None:
        """Keep `service` going; `reread` gives the configuration at a reload.

        `ready`: the service manager was told so already.
        """
        self.service, self._reread = service, reread
        self.following = ChannelFollower(service.custody)
        self.answers = AgentApi(
            service.config, service.custody, service.handover, clock=service.clock, deliver=self.following.deliver
        )
        self.answers.standing_errors = self._standing_errors
        self._observability = Observability(self.answers.recent_snapshot, service.custody.counters)
        http = unix_http(self._observability.answer, self._count)
        self._sockets = SocketSupervisor(service, lambda: SocketServer(self.answers, service.handover.admission, http))
        self._tcp = TcpAccess(service.handover.admission, monotonic=service.clock.monotonic)
        self._listeners: list[Listeners] = []
        self._reload_error: tuple[str, ...] = ()
        self._stop = asyncio.Event()
        self._told: tuple[int, bool] = (-1, False)
        self._ready = ready
        self._state: State | None = None
        self._settling: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, reload at SIGHUP. The first task that fails stops all."""
        custody = self.service.custody
        asyncio.get_running_loop().set_exception_handler(tell_of_a_defect)
        await self._serve()
        self._heed_signals()
        custody.on_change = self._changed
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(keeper.run()) for keeper in custody.keepers.values()]
            tasks += [group.create_task(self.following.look_again()), group.create_task(self._write_again())]
            tasks += [group.create_task(self._sockets.keep())]
            tasks += [group.create_task(self._feed_the_watchdog())]
            self._follow()
            self._changed()
            await self._stop.wait()
            notify.stopping()
            self.following.stop()
            for task in tasks:
                task.cancel()
        await self._close()
        log.info("agent_stopped")

    def reload(self) -> None:
        """Take the configuration as it stands now; a broken one is reported, and the old one stays."""
        notify.reloading(int(self.service.clock.monotonic() * 1_000_000))
        try:
            config, late = self._reread(self.service.config)
            self.service.reconfigure(config)
        except CredagentError as error:
            self._reload_error = ("reload-failed",)
            log.error("reload_failed", code=error.code, why=str(error), hint=error.hint)
        except Exception as error:  # noqa: BLE001  a defect: the service manager waits for an end all the same
            self._reload_error = ("reload-failed",)
            log.error("reload_failed", code="internal", why=type(error).__name__, hint="the old configuration stays")
        else:
            self._reload_error = ()
            self.answers.config = config
            admission = self.service.handover.admission
            self._tcp = TcpAccess(admission, monotonic=self.service.clock.monotonic)
            for server in self._sockets.servers:
                server.admission = admission
            self._follow()
            log.start(config.log.level, config.log.format)
            log.info("configuration_reloaded", needs_restart=late)
        self._told = (-1, False)
        self._changed()
        notify.ready(self._sentence())

    def _heed_signals(self) -> None:
        """Act on signals, also on those that came during the start and were held back."""
        actions = {signal.SIGTERM: self._stop.set, signal.SIGINT: self._stop.set, signal.SIGHUP: self.reload}
        for number, act in actions.items():
            asyncio.get_running_loop().add_signal_handler(number, act)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, actions)

    async def _serve(self) -> None:
        service = self.service
        await self._sockets.serve()
        self.answers.subscribers = self._sockets.subscribers
        if service.handover.sockets:
            self._listeners.append(
                await start_listeners(
                    service.handover.sockets,
                    source=service.custody.present,
                    now=service.clock.now,
                    admits=self._admits,
                    count=self._count,
                    token=service.handover.token,
                    google=service.config.google.handover == "metadata",
                    project=service.config.google.project,
                )
            )
        if service.handover.metrics:
            answer = self._observability.answer
            self._listeners.append(await start_metrics_listener(service.handover.metrics, answer, self._count))

    async def _close(self) -> None:
        await asyncio.gather(self._sockets.close(), *(listeners.close() for listeners in self._listeners))

    def _admits(self, uid: int) -> bool:
        """Ask the present admission: a reload replaces it under the listeners."""
        return self._tcp.admits(uid)

    def _count(self, face: str, outcome: str) -> None:
        self.service.custody.counters.count(REQUESTS, face, outcome)

    def _standing_errors(self) -> tuple[str, ...]:
        lost = (self._sockets.trouble,) if self._sockets.trouble else ()
        unknown = () if all(one.tells_callers_apart for one in self._listeners) else ("callers-unknown",)
        return (*self._reload_error, *lost, *unknown, *self.following.standing_errors())

    def _changed(self) -> None:
        """Tell subscribers and the service manager what is new, once."""
        self.answers.changed()
        custody = self.service.custody
        told, self._told = self._told, (custody.store.current.generation, custody.settled)
        if told != self._told:
            for server in self._sockets.servers:
                server.publish()
        self._tell_state()

    def _tell_state(self) -> None:
        present = state(self.answers.snapshot())
        if self.service.custody.settled and not self._ready:
            self._ready = True
            notify.ready(self._sentence())
        elif present is not self._state:
            notify.status(self._sentence())
        if present is not self._state:
            log.info("state_changed", before=self._state and self._state.value, state=present.value)
            self._state = present

    def _sentence(self) -> str:
        """Return the one line that `systemctl status` shows."""
        snapshot = self.answers.snapshot()
        origins = ", ".join(f"{slot.value}: {origin_of(shown.content)}" for slot, shown in snapshot.slots.items())
        return f"{state(snapshot).value}, generation {snapshot.generation} ({origins})"

    def _follow(self) -> None:
        """Follow the channels of the present configuration. They, and all slots, get the time that it gives them."""
        self.following.follow(self.service.channels)
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(self.service.config.agent.settle_s, self._settle)

    def _settle(self) -> None:
        custody = self.service.custody
        if not custody.settled or custody.unresolved:
            log.warning("not_settled", after_s=self.service.config.agent.settle_s, unread=sorted(custody.unlooked))
        custody.wait_no_longer()

    async def _write_again(self) -> None:
        """Write what could not be written, for ever: the disk may have room again, and workers that start read it."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if self.service.handover.error is not None:
                self.service.handover.write(self.service.custody.store.current)
                self._changed()

    async def _feed_the_watchdog(self) -> None:
        interval = notify.watchdog_interval_s()
        while interval is not None:
            notify.alive()
            await asyncio.sleep(interval)


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
