"""The composition root of the daemon: configuration in, a running agent out. It starts without an event loop.

Everything that can be done without waiting is done before asyncio and structlog are loaded: a worker that starts
beside the agent finds credentials and an open socket tens of milliseconds earlier.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from credagent.admission import recipient_keyring
from credagent.admission.bundle_admission import BundleAdmission
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy
from credagent.admission.state_file import archived_in
from credagent.bundle.content_key_wrapping import KeyOpener
from credagent.channels.factory import contents, names, pull_channels
from credagent.channels.pull_channel import Content, PullChannel
from credagent.clock import Clock, SystemClock
from credagent.config import Config
from credagent.config.channel_specs import SOCKET_NAME, SocketChannelSpec
from credagent.credentials import Held, Slot
from credagent.daemon import runtime_folders
from credagent.daemon.worker_handover import WorkerHandover, admission_of
from credagent.handover.unix import socket_file
from credagent.operations.systemd.sockets import passed_sockets
from credagent.slots.allowed_targets import Targets
from credagent.slots.credential_resolver import CredentialResolver, ResolverSettings, SlotSettings
from credagent.slots.credential_store import CredentialStore
from credagent.slots.precedence import Fallback
from credagent.slots.source_state import Source
from credagent.system.file_lock import Lock

if TYPE_CHECKING:
    from credagent.slots.source_fetcher import FetchSettings, SourceFetcher


class Agent:
    """One agent: its parts, put together. The loop (`loop`) keeps it going."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], *, clock: Clock | None = None, writes: bool = True
    ) -> None:
        """Put the parts together. Binds nothing and opens no bundle.

        `writes` False: nothing on this machine is changed, and a key that does not exist is not made.
        """
        self.config, self.environ = config, environ
        self.clock = clock or SystemClock()
        remembered = runtime_folders.recall(config)
        self.fetch = LazyFetcher(config, self.clock)
        load, save = archived_in(config.agent.state_dir, writes=writes)
        intake = BundleAdmission(
            policy=policy_of(config),
            keyring=keyring_of(config, environ, writes=writes),
            clock=self.clock,
            load=load,
            save=save,
        )
        store = CredentialStore(remembered.generation)
        self.custody = CredentialResolver(
            rules_of(config), intake=intake, store=store, clock=self.clock, fetch=self.fetch
        )
        self.handover = WorkerHandover(config, admission_of(config), remembered=remembered)
        self.handover.machine_region = lambda: self.fetch.region
        self.channels = pull_channels(config.bundle.channels, environ, region=config.aws.region)
        self.bound: list[socket_file.BoundSocket] = []
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
        named = [channel.path for channel in self.config.bundle.channels if isinstance(channel, SocketChannelSpec)]
        for path in dict.fromkeys([socket_path(self.config), *named]):
            self.bound.append(socket_file.bind(path))

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
        self._fetcher: SourceFetcher | None = None

    async def __call__(self, source: Source) -> Held:
        """Return what `source` gives now. Raises Unavailable."""
        if self._fetcher is None:
            from credagent.slots.source_fetcher import SourceFetcher  # noqa: PLC0415  see above

            self._fetcher = SourceFetcher(self._bounds(), self._clock)
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

    def _bounds(self) -> "FetchSettings":
        from credagent.slots.source_fetcher import FetchSettings  # noqa: PLC0415  see above

        aws, google = self._config.aws, self._config.google
        return FetchSettings(
            region=aws.region,
            assumable_roles=aws.assumable_roles,
            project=google.project,
            scopes=google.scopes,
            impersonable=google.impersonable,
        )


def boot(config: Config, environ: Mapping[str, str], owner: bytes) -> Agent:
    """Return a service that holds the lock, has resolved what needs no waiting, has handed it over and is bound."""
    from credagent.system.process_control import make_non_dumpable  # noqa: PLC0415  ctypes, and only where secrets arrive

    make_non_dumpable()
    runtime_folders.prepare(config)
    locks = runtime_folders.take_locks(config, owner)
    service = Agent(config, environ)
    service.locks = locks
    service.handover.bind(passed_sockets(environ))
    service.resolve()
    service.hand_over()
    service.bind()
    return service


def keyring_of(config: Config, environ: Mapping[str, str], *, writes: bool = True) -> Keyring:
    """Return the keys that open bundles here; the machine's own is made where missing and where `writes` allows."""
    specs = config.bundle.recipient_keys
    if not writes and not recipient_keyring.has_own(config.agent.state_dir):
        specs = tuple(spec for spec in specs if spec != "state")
    return recipient_keyring.load(specs, config.agent.state_dir, environ, remote_opener, writes=writes)


def remote_opener(spec: str) -> KeyOpener:
    """Return an opener for a key that a cloud holds."""
    from credagent.admission.kms_recipient_key import kms_key  # noqa: PLC0415  only where one is configured

    return kms_key(spec)


def policy_of(config: Config) -> AdmissionPolicy:
    """Return what this machine admits."""
    return AdmissionPolicy(
        audience=config.agent.audience,
        trusted_senders=recipient_keyring.trusted_senders(config.bundle.trusted_senders),
        max_age=timedelta(seconds=config.bundle.max_age_s),
        admit_long_term=config.aws.admit_long_term,
        admit_refresh_token=config.google.admit_refresh_token,
        allow=config.environment.allow,
    )


def rules_of(config: Config) -> ResolverSettings:
    """Return what the configuration says of the slots."""
    aws, google = config.aws, config.google
    return ResolverSettings(
        slots={
            Slot.AWS: SlotSettings(fallback=Fallback(aws.fallback), required=aws.required, handover=aws.handover),
            Slot.GOOGLE: SlotSettings(
                fallback=Fallback(google.fallback), required=google.required, handover=google.handover
            ),
            Slot.ENVIRONMENT: SlotSettings(handover="environment"),
        },
        bundle_required=config.bundle.expect == "required",
        min_validity=timedelta(seconds=config.agent.min_validity_s),
        targets=Targets(assumable_roles=aws.assumable_roles, impersonable=google.impersonable),
    )


def socket_path(config: Config) -> str:
    """Return where the agent of this configuration listens."""
    return f"{config.agent.runtime_dir}/{SOCKET_NAME}"
