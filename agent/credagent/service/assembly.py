"""The composition root of the daemon: configuration in, a running agent out. It starts without an event loop.

Everything that can be done without waiting is done before asyncio and structlog are loaded: a worker that starts
beside the agent finds credentials and an open socket tens of milliseconds earlier.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from credagent.bundle.wrapping import KeyOpener
from credagent.channels import keyring
from credagent.channels.archive import archived_in
from credagent.channels.awaiting import contents
from credagent.channels.channel import Content, PullChannel
from credagent.channels.intake import Intake
from credagent.channels.keyring import Keyring
from credagent.channels.making import names, pull_channels
from credagent.clock import Clock, SystemClock
from credagent.config import Config
from credagent.config.channels import SOCKET_NAME, SocketChannel
from credagent.credentials import Held, Slot
from credagent.custody import Custody, Rules, SlotRules
from credagent.handover import socket as agent_socket
from credagent.locks import Lock
from credagent.operations import activation
from credagent.rules.admission import Policy
from credagent.rules.precedence import Fallback
from credagent.rules.targets import Targets
from credagent.service import folders
from credagent.service.handing_over import Handover, admission_of
from credagent.sources.track import Source
from credagent.store import Store

if TYPE_CHECKING:
    from credagent.sources.fetching import Bounds, Fetcher


class Service:
    """One agent: its parts, put together. The loop (`loop`) keeps it going."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], *, clock: Clock | None = None, writes: bool = True
    ) -> None:
        """Put the parts together. Binds nothing and opens no bundle.

        `writes` False: nothing on this machine is changed, and a key that does not exist is not made.
        """
        self.config, self.environ = config, environ
        self.clock = clock or SystemClock()
        remembered = folders.recall(config)
        self.fetch = LazyFetcher(config, self.clock)
        load, save = archived_in(config.agent.state_dir, writes=writes)
        intake = Intake(
            policy=policy_of(config),
            keyring=keyring_of(config, environ, writes=writes),
            clock=self.clock,
            load=load,
            save=save,
        )
        store = Store(remembered.generation)
        self.custody = Custody(rules_of(config), intake=intake, store=store, clock=self.clock, fetch=self.fetch)
        self.handover = Handover(config, admission_of(config), remembered=remembered)
        self.handover.machine_region = lambda: self.fetch.region
        self.channels = pull_channels(config.bundle.channels, environ, region=config.aws.region)
        self.bound: list[agent_socket.Bound] = []
        self.locks: tuple[Lock, ...] = ()

    def resolve(self, *, waiting: bool = False, followed: Mapping[str, str] = {}) -> None:
        """Take up what was in force, and what the channels hold now, as far as that needs no `waiting`.

        `followed` gives the present name of each channel that was followed before.
        """
        found = contents(self.channels) if waiting else self._at_hand()
        looked_at = [channel for channel, _ in found]
        with self.custody.one_set():
            unlooked = (channel.name for channel in self.channels if channel not in looked_at)
            self.custody.follows(followed, unlooked=unlooked)
            self.custody.begin(waiting=waiting)
            for channel, content in found:
                self.custody.offer(content, channel.name, shared=channel.shared)

    def _at_hand(self) -> list[tuple[PullChannel, Content]]:
        """Return the channels that need no waiting, neither for what they hold nor for a key that opens it."""
        if not self.custody.intake.keyring.local_only:
            return []
        present = [(channel, channel.present()) for channel in self.channels]
        return [(channel, content) for channel, content in present if content is not None or not channel.waits]

    def hand_over(self) -> None:
        """Write what workers read, now and at each change."""
        self.handover.write(self.custody.store.current)
        self.custody.store.listen(lambda _, new: self.handover.write(new))

    def bind(self) -> None:
        """Bind the agent's sockets: from here on a caller waits in the backlog instead of finding nobody."""
        named = [channel.path for channel in self.config.bundle.channels if isinstance(channel, SocketChannel)]
        for path in dict.fromkeys([socket_path(self.config), *named]):
            self.bound.append(agent_socket.bind(path))

    def reconfigure(self, config: Config) -> None:
        """Go over to another configuration, keeping what is held where it still may be.

        Raises CredagentError, and nothing has changed: all that can fail is made before any of it is used.
        """
        admission, policy = admission_of(config), policy_of(config)
        keys = keyring_of(config, self.environ)
        channels = pull_channels(config.bundle.channels, self.environ, region=config.aws.region)
        before, after = names(self.config.bundle.channels), names(config.bundle.channels)
        self.config = self.handover.config = config
        self.handover.admission = admission
        self.fetch.reconfigure(config)
        self.custody.intake.policy, self.custody.intake.keyring = policy, keys
        self.custody.rules, self.channels = rules_of(config), channels
        self.resolve(followed={before[channel]: name for channel, name in after.items() if channel in before})
        self.handover.write(self.custody.store.current)  # the configuration says where to, and with which region


class LazyFetcher:
    """Fetches by the helper process. What that takes is loaded at the first fetch, not at the start."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Fetch within the bounds of `config`."""
        self._config, self._clock = config, clock
        self._fetcher: Fetcher | None = None

    async def __call__(self, source: Source) -> Held:
        """Return what `source` gives now. Raises Unavailable."""
        if self._fetcher is None:
            from credagent.sources.fetching import Fetcher  # noqa: PLC0415  see above

            self._fetcher = Fetcher(self._bounds(), self._clock)
        return await self._fetcher(source)

    @property
    def region(self) -> str:
        """The AWS region that the machine's own identity was found with, empty where none was."""
        return self._fetcher.region if self._fetcher else ""

    def reconfigure(self, config: Config) -> None:
        """Fetch within the bounds of another configuration."""
        self._config = config
        if self._fetcher is not None:
            self._fetcher.bounds = self._bounds()

    def _bounds(self) -> "Bounds":
        from credagent.sources.fetching import Bounds  # noqa: PLC0415  see above

        aws, google = self._config.aws, self._config.google
        return Bounds(
            region=aws.region,
            assumable_roles=aws.assumable_roles,
            project=google.project,
            scopes=google.scopes,
            impersonable=google.impersonable,
        )


def boot(config: Config, environ: Mapping[str, str]) -> Service:
    """Return a service that holds the lock, has resolved what needs no waiting, has handed it over and is bound."""
    from credagent.kernel import make_non_dumpable  # noqa: PLC0415  ctypes, and only where secrets arrive

    make_non_dumpable()
    folders.prepare(config)
    locks = folders.take_locks(config)
    service = Service(config, environ)
    service.locks = locks
    service.handover.bind(activation.sockets(environ))
    service.resolve()
    service.hand_over()
    service.bind()
    return service


def keyring_of(config: Config, environ: Mapping[str, str], *, writes: bool = True) -> Keyring:
    """Return the keys that open bundles here; the machine's own is made where missing and where `writes` allows."""
    specs = config.bundle.recipient_keys
    if not writes and not keyring.has_own(config.agent.state_dir):
        specs = tuple(spec for spec in specs if spec != "state")
    return keyring.load(specs, config.agent.state_dir, environ, remote_opener, writes=writes)


def remote_opener(spec: str) -> KeyOpener:
    """Return an opener for a key that a cloud holds."""
    from credagent.clouds.kms_key import kms_key  # noqa: PLC0415  only where one is configured

    return kms_key(spec)


def policy_of(config: Config) -> Policy:
    """Return what this machine admits."""
    return Policy(
        audience=config.agent.audience,
        trusted_senders=keyring.trusted_senders(config.bundle.trusted_senders),
        max_age=timedelta(seconds=config.bundle.max_age_s),
        admit_long_term=config.aws.admit_long_term,
        admit_refresh_token=config.google.admit_refresh_token,
        allow=config.environment.allow,
    )


def rules_of(config: Config) -> Rules:
    """Return what the configuration says of the slots."""
    aws, google = config.aws, config.google
    return Rules(
        slots={
            Slot.AWS: SlotRules(fallback=Fallback(aws.fallback), required=aws.required, handover=aws.handover),
            Slot.GOOGLE: SlotRules(
                fallback=Fallback(google.fallback), required=google.required, handover=google.handover
            ),
            Slot.ENVIRONMENT: SlotRules(handover="environment"),
        },
        bundle_required=config.bundle.expect == "required",
        min_validity=timedelta(seconds=config.agent.min_validity_s),
        targets=Targets(assumable_roles=aws.assumable_roles, impersonable=google.impersonable),
    )


def socket_path(config: Config) -> str:
    """Return where the agent of this configuration listens."""
    return f"{config.agent.runtime_dir}/{SOCKET_NAME}"
