"""The composition root of the daemon: configuration in, a running agent out. It starts without an event loop.

Everything that can be done without waiting is done before asyncio and structlog are loaded: a worker that starts
beside the agent finds credentials and an open socket tens of milliseconds earlier.
"""

from collections.abc import Mapping
from functools import partial

from credagent.admission.bundle_admission import BundleAdmission
from credagent.admission.state_file import load_and_save
from credagent.channels.factory import names
from credagent.clock import Clock, SystemClock
from credagent.config import Config
from credagent.config.channel_grammar import SOCKET_NAME, SocketChannelSpec
from credagent.credentials import CredentialSet
from credagent.daemon import runtime_folders
from credagent.daemon.agent_settings import settings_of
from credagent.daemon.worker_handover import WorkerHandover
from credagent.handover.listening_sockets import ListeningSockets
from credagent.handover.unix import socket_file
from credagent.metric_counters import HANDOVERS
from credagent.slots.credential_resolver import Arrival, CredentialResolver
from credagent.slots.credential_store import CredentialStore
from credagent.slots.source_fetcher import SourceFetcher
from credagent.system.file_lock import Lock


class Agent:
    """One agent: its parts, put together. `MainLoop` keeps it going. `settings` is replaced whole by a reload."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], *, clock: Clock | None = None, writes: bool = True
    ) -> None:
        """Put the parts together. Binds nothing and opens no bundle.

        `writes` False: nothing on this machine is changed, and a key that does not exist is not made.
        """
        self.environ, self.clock = environ, clock or SystemClock()
        remembered = runtime_folders.recall(config)
        self.settings = settings_of(config, environ, writes=writes)
        self.configured_at = self.clock.now()
        self.needs_restart: tuple[str, ...] = ()
        load, save = load_and_save(config.agent.state_dir, writes=writes)
        self.fetcher = fetcher = SourceFetcher(lambda: self.settings.fetch, self.clock)
        self.resolver = CredentialResolver(
            self.settings.slots,
            admission=BundleAdmission(self.settings.admission, clock=self.clock, load=load, save=save),
            store=CredentialStore(remembered.generation, remembered.digest),
            clock=self.clock,
            fetch=fetcher,
        )
        self.handover = WorkerHandover(
            lambda: self.settings,
            machine_region=lambda: fetcher.region,
            remembered=remembered,
            count=partial(self.resolver.counters.count, HANDOVERS, "env_file"),
        )
        self.bound: list[socket_file.BoundSocket] = []
        self.locks: tuple[Lock, ...] = ()

    @property
    def config(self) -> Config:
        """Return the present configuration."""
        return self.settings.config

    def resolve(self, followed: Mapping[str, str] = {}) -> None:
        """Take up what was in force, and what the channels hold now, as far as that needs no waiting.

        `followed` gives the present name of each channel that was followed before.
        """
        arrivals, unlooked = [], []
        for channel in self.settings.channels:
            content = channel.present()
            if content is None and channel.waits:
                unlooked.append(channel.name)
            else:
                arrivals.append(Arrival(content=content, channel=channel.name, shared=channel.shared))
        self.resolver.take_up(arrivals, unlooked=unlooked, followed=followed)

    def hand_over(self) -> None:
        """Write what workers read, now and at each change."""
        self.handover.write(self.resolver.store.current)
        self.resolver.store.listen(self._write_changes)

    def bind(self, given: ListeningSockets = ListeningSockets()) -> None:  # noqa: B008  a frozen value
        """Bind the agent's sockets: from here on a caller waits in the backlog instead of finding nobody.

        Those that are `given` are used as they are.
        """
        named = [channel.path for channel in self.config.bundle.channels if isinstance(channel, SocketChannelSpec)]
        for path in dict.fromkeys([socket_path(self.config), *named]):
            self.bound.append(given.unix_at(path) or socket_file.bind(path))

    def listening_sockets(self) -> ListeningSockets:
        """Return all sockets that the agent listens at."""
        endpoint, metrics = tuple(self.handover.sockets), tuple(self.handover.metrics)
        return ListeningSockets(unix=tuple(self.bound), endpoint=endpoint, metrics=metrics)

    def reconfigure(self, config: Config, *, needs_restart: tuple[str, ...] = ()) -> None:
        """Go over to another configuration, keeping what is held where it still may be.

        `needs_restart`: keys whose new values are not in `config`, since they take a restart.

        Raises CredagentError, and nothing has changed: all that can fail is made before any of it is used.
        """
        settings = settings_of(config, self.environ)
        before, after = names(self.config.bundle.channels), names(config.bundle.channels)
        self.settings, self.configured_at, self.needs_restart = settings, self.clock.now(), needs_restart
        self.resolver.reconfigure(settings.admission, settings.slots)
        self.resolve({before[channel]: name for channel, name in after.items() if channel in before})
        self.handover.write(self.resolver.store.current)  # the configuration says where to, and with which region

    def _write_changes(self, old: CredentialSet, new: CredentialSet) -> None:
        if old is not new:
            self.handover.write(new)


def boot(
    config: Config,
    environ: Mapping[str, str],
    owner: bytes = b"run",
    given: ListeningSockets = ListeningSockets(),  # noqa: B008  a frozen value
    lock: Lock | None = None,
) -> Agent:
    """Return an agent that holds the locks, has resolved what needs no waiting, has handed it over and is bound.

    `owner` is noted in the lock. `given` are the sockets of the service manager, or of an earlier agent, and `lock`
    the one on the runtime folder where it is held already. Raises CredagentError, and holds nothing.
    """
    from credagent.system.process_control import make_non_dumpable  # noqa: PLC0415  ctypes, and only where secrets arrive

    make_non_dumpable()
    runtime_folders.prepare(config)
    locks = runtime_folders.take_locks(config, owner, lock)
    try:
        agent = Agent(config, environ)
        agent.locks = locks
        agent.handover.bind(given)
        agent.resolve()
        agent.hand_over()
        agent.bind(given)
        given.close_all_but(agent.listening_sockets())
    except BaseException:
        for one in locks:
            one.release()  # a start that is tried again must not find its own
        raise
    return agent


def socket_path(config: Config) -> str:
    """Return where the agent of this configuration listens."""
    return f"{config.agent.runtime_dir}/{SOCKET_NAME}"
