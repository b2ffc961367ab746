"""A machine in memory: the real resolver, admission, controllers and sealed bundles; clock and cloud are the test's.

Nothing here waits for real time, reads a file or opens a socket.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from msgspec import structs

from credagent import log
from credagent.admission.admission_state import AdmissionSettings
from credagent.admission.bundle_admission import BundleAdmission
from credagent.admission.deferred_opening import NOT_OPENED_YET, ask
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy, Standing
from credagent.bundle.content_key_wrapping import KeyWrapper
from credagent.bundle.contents import (
    SLOT_OF_GRANT,
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    Grant,
)
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import new_bundle_id, seal
from credagent.bundle.timestamps import microseconds_of
from credagent.channels.pull_channel import Content, PullChannel
from credagent.credentials import Empty, Slot, SlotContent, Statement, origin_of
from credagent.daemon.channel_follower import ChannelFollower
from credagent.errors import CredagentError, Unavailable
from credagent.secret import Secret
from credagent.slots.allowed_targets import Targets
from credagent.slots.credential_resolver import Arrival, CredentialResolver
from credagent.slots.credential_store import CredentialStore
from credagent.slots.desired_slot import ResolverSettings
from credagent.slots.precedence import Fallback
from credagent.slots.source_fetcher import FetchSettings
from tests.scenario.clock import FakeClock
from tests.scenario.cloud import CloudInMemory
from tests.scenario.parts import Disk, last_end, name_of, rules

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = 3600.0
AUDIENCE = "lab"
ROLE = "arn:aws:iam::123456789012:role/reader"
ALICE, BOB = SenderPrivateKey(bytes([1]) * 32), SenderPrivateKey(bytes([2]) * 32)
MACHINE = RecipientPrivateKey(Kem.X25519, bytes([3]) * 32)
ANOTHER_MACHINE = RecipientPrivateKey(Kem.X25519, bytes([4]) * 32)
MACHINES = "aws-machine-1"
CLOSED = Empty(may_fall_back=False)
WITHDRAWN = Empty(may_fall_back=False, withdrawn=True)
ONLY_ALICE = frozenset({ALICE.public_key.raw})
ONLY_BOB = frozenset({BOB.public_key.raw})

Said = Grant | Statement


class World:
    """One machine, from its first start on. Every method that takes time lets the controllers run."""

    def __init__(
        self,
        *,
        fallback: Fallback = Fallback.ABSENT,
        required: bool = False,
        bundle_required: bool = False,
        fetch: Callable[["World"], Any] | None = None,
        google_off: bool = False,
        start: datetime = START,
    ) -> None:
        """The machine has an AWS and a Google identity unless the test takes them away."""
        self.clock = FakeClock(start)
        self.disk = Disk()
        self.cloud = CloudInMemory(self.clock)
        self.bounds = FetchSettings(targets=Targets(assumable_roles=(ROLE,)))
        self.policy = AdmissionPolicy(
            audience=AUDIENCE, trusted_senders=frozenset({ALICE.public_key.raw, BOB.public_key.raw})
        )
        self.rules = rules(fallback, required=required, bundle_required=bundle_required, google_off=google_off)
        self.keyring = Keyring(openers=(MACHINE,), machine_keys=(MACHINE,))
        self.file: Content = None
        self.shared = False
        self.unlooked: tuple[str, ...] = ()  # channels that begin to be followed now, and were not looked at yet
        self._fetch = fetch(self) if fetch is not None else self.cloud
        self._numbers: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.resolver: CredentialResolver

    # ---- the agent's life

    def start(self, *, patient: bool = True) -> Self:
        """Start the agent as the daemon does. Impatient tests look before the first attempts are over."""
        admission = BundleAdmission(
            self._admission_settings(), clock=self.clock, load=self.disk.load, save=self.disk.save
        )
        store = CredentialStore(self.resolver.store.current.generation if hasattr(self, "resolver") else 0)
        self.cloud.bounds = self.bounds
        self.resolver = CredentialResolver(
            self._rules(), admission=admission, store=store, clock=self.clock, fetch=self._fetch
        )
        self.sets = [store.current]
        store.listen(lambda old, new: None if old is new else self.sets.append(new))
        self._resolve()
        controllers = self.resolver.controllers.values()
        self._tasks = [self._loop.create_task(controller.run()) for controller in controllers]
        if patient:
            self.settle()
        return self

    def stop(self) -> None:
        """End as a killed process does."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self.settle()
        self.clock.forget()

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self, *, fallback: Fallback | None = None, **policy: Any) -> None:
        """Take another configuration, as SIGHUP makes the daemon do."""
        self.policy = structs.replace(self.policy, **policy)
        if fallback is not None:
            self.rules = rules(fallback)
        self.cloud.bounds = self.bounds
        self.resolver.reconfigure(self._admission_settings(), self._rules())
        self._resolve({name: name for name in ("file", *self.unlooked)})
        self.settle()

    def _rules(self) -> ResolverSettings:
        return structs.replace(self.rules, targets=self.bounds.targets)

    def _admission_settings(self) -> AdmissionSettings:
        return AdmissionSettings(policy=self.policy, keyring=self.keyring)

    def _resolve(self, followed: Mapping[str, str] = {}) -> None:
        self.resolver.take_up([self._arrival()], unlooked=self.unlooked, followed=followed)

    def _arrival(self) -> Arrival:
        return Arrival(content=self.file, channel="file", shared=self.shared)

    def close(self) -> None:
        self.stop()
        self._loop.close()

    def follow(self, *channels: PullChannel) -> ChannelFollower:
        """Follow channels as the daemon does."""

        async def begin() -> ChannelFollower:
            follower = ChannelFollower(self.resolver, self.clock)
            self._tasks.append(asyncio.create_task(follower.look_again()))
            follower.follow(channels)
            return follower

        follower = self._loop.run_until_complete(begin())
        self.settle()
        return follower

    # ---- time

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self._loop.run_until_complete(self.clock.let_run())

    def advance(self, seconds: float) -> None:
        """Let time pass on all clocks."""
        self._loop.run_until_complete(self.clock.advance(seconds))

    def step_clock(self, seconds: float) -> None:
        """Step the wall clock; no wait ends earlier for that."""
        self.clock.step(seconds)

    # ---- bundles

    def bundle(
        self,
        aws: Said = Statement.DECLINED,
        google: Said = Statement.DECLINED,
        environment: Said = Statement.DECLINED,
        *,
        sender: SenderPrivateKey = ALICE,
        audience: str = AUDIENCE,
        lasts_s: float = 30 * 24 * HOUR,
        issued_ago_s: float = 0.0,
        recipient: RecipientPrivateKey = MACHINE,
        recipients: Sequence[KeyWrapper] = (),
    ) -> str:
        """Return a sealed bundle."""
        said = {Slot.AWS: aws, Slot.GOOGLE: google, Slot.ENVIRONMENT: environment}
        issued_at = self.clock.now() - timedelta(seconds=issued_ago_s)
        number = max(microseconds_of(issued_at), self._numbers.get(sender.key_id, 0) + 1)
        self._numbers[sender.key_id] = number
        grants = tuple(grant for grant in said.values() if not isinstance(grant, Statement))
        assert all(said[SLOT_OF_GRANT[type(grant)]] is grant for grant in grants)
        bundle = Bundle(
            bundle_id=new_bundle_id(),
            sequence=number,
            audience=audience,
            issued_at=issued_at,
            not_after=min(issued_at + timedelta(seconds=lasts_s), last_end(grants)),
            slots={slot: one if isinstance(one, Statement) else Statement.GRANTED for slot, one in said.items()},
            grants=grants,
        )
        return seal(bundle, list(recipients) or [recipient.public_key], sender)

    def session(self, key: str = "ASIAALICE", lasts_s: float = HOUR) -> AwsSessionGrant:
        """Return a grant of a session that ends after `lasts_s`."""
        return AwsSessionGrant(
            access_key_id=key,
            secret_access_key=Secret(f"secret-of-{key}"),
            session_token=Secret(f"token-of-{key}"),
            expires_at=self.clock.now() + timedelta(seconds=lasts_s),
        )

    def long_term_key(self) -> AwsSessionGrant:
        return AwsSessionGrant(access_key_id="AKIAALICE", secret_access_key=Secret("secret-of-AKIAALICE"))

    def google_token(self, lasts_s: float = HOUR) -> GoogleAccessTokenGrant:
        return GoogleAccessTokenGrant(
            access_token=Secret("ya29.alice"), expires_at=self.clock.now() + timedelta(seconds=lasts_s)
        )

    def put(self, content: str | bytes | CredagentError | None) -> CredagentError | None:
        """Replace the present content of the file channel; return why it is not in force."""
        self.file = content.encode() if isinstance(content, str) else content
        error = self.resolver.offer(self._arrival())
        self.settle()
        return error

    def told(self, channel: str, content: str | bytes | CredagentError | None) -> None:
        """Tell what a shared channel that was waited for holds."""
        content = content.encode() if isinstance(content, str) else content
        self.resolver.offer(Arrival(content=content, channel=channel, shared=True))
        self.settle()

    def push(self, text: str) -> str:
        """Deliver over the socket; return the outcome."""
        try:
            return self._pushed(text).value
        except CredagentError as error:
            return error.code
        finally:
            self.settle()

    def _pushed(self, text: str) -> Standing:
        """Push, and let a key service open what only that can, as the daemon does."""
        try:
            return self.resolver.push(text, "socket")
        except Unavailable as error:
            if error.code != NOT_OPENED_YET:
                raise
            return self.resolver.push(text, "socket", ask(text, self.keyring))

    def renew(self, slot: Slot = Slot.AWS) -> str:
        """Ask for a renewal now, and return its outcome."""
        return self._loop.run_until_complete(self.resolver.controllers[slot].renew())

    def begin_renewal(self, slot: Slot = Slot.AWS) -> "asyncio.Task[str]":
        """Ask for a renewal, and do not wait for its outcome."""
        task = self._loop.create_task(self.resolver.controllers[slot].renew())
        self.settle()
        return task

    # ---- what people and workers see

    def content(self, slot: Slot = Slot.AWS) -> SlotContent:
        return self.resolver.present().content(slot)

    def key(self, slot: Slot = Slot.AWS) -> str:
        """Return what names the credentials that workers get now: an access key id, a token; empty for nothing."""
        return name_of(self.content(slot))

    def origin(self, slot: Slot = Slot.AWS) -> str:
        return origin_of(self.content(slot))

    @property
    def generation(self) -> int:
        return self.resolver.store.current.generation

    def failure_code(self, slot: Slot = Slot.AWS) -> str:
        failure = self.resolver.controllers[slot].state.failure
        return failure.code if failure else ""

    def failure_hint(self, slot: Slot = Slot.AWS) -> str:
        failure = self.resolver.controllers[slot].state.failure
        return failure.hint if failure else ""


def said(event: str, **fields: object) -> list[dict[str, Any]]:
    """Return the fields of each event of that name that has these fields."""
    found = [shown for _, name, shown in log._waiting if name == event]
    return [shown for shown in found if all(shown.get(name) == value for name, value in fields.items())]


def role(**changes: Any) -> AwsAssumeRoleGrant:
    """Return a grant of a role that the machine's configuration lists."""
    return AwsAssumeRoleGrant(**{"role_arn": ROLE, **changes})


def variables(**values: str) -> EnvironmentGrant:
    return EnvironmentGrant(variables={name: Secret(value) for name, value in values.items()})


def denied() -> Unavailable:
    """Return a permanent refusal: the role was deleted."""
    return Unavailable("access-denied", "STS denies it", hint="may this identity assume that role?", retry=False)


def throttled() -> Unavailable:
    """Return a passing failure."""
    return Unavailable("throttled", "too many requests", hint="nothing to do")
