"""Whatever bundles, failures, reloads, restarts and clocks do, in whatever order: what a worker may never see."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from credagent.bundle.contents import AwsGrant
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.credentials import Empty, Held, Slot, Statement
from credagent.slots.precedence import Fallback
from tests.scenario.harness import ALICE, ANOTHER_MACHINE, BOB, HOUR, World, denied, role, throttled, variables

MACHINES = ("aws-metadata", "google-metadata")
SENDERS = {"alice": ALICE, "bob": BOB}
KINDS = ("aws-machine", "google-machine", "aws-assume-role")
aws_said = st.sampled_from(["session", "short session", "role", *(one for one in Statement if one != "granted")])
others_said = st.sampled_from(["granted", *(one for one in Statement if one != "granted")])


class Machine(RuleBasedStateMachine):
    """One machine under everything that can happen to it. Subclasses say what `fallback` is."""

    fallback = Fallback.ABSENT

    def __init__(self) -> None:
        super().__init__()
        self.world = World(fallback=self.fallback).start()
        self.generation = 0

    def teardown(self) -> None:
        self.world.close()

    @rule(aws=aws_said, google=others_said, environment=others_said, sender=st.sampled_from(list(SENDERS)))
    def a_bundle_arrives(self, aws: str, google: str, environment: str, sender: str) -> None:
        self.world.advance(0.001)
        self.world.put(self._bundle(aws, google, environment, SENDERS[sender]))

    @rule(aws=aws_said)
    def a_bundle_is_pushed_onto_a_full_disk(self, aws: str) -> None:
        before = self.world.resolver.present()
        self.world.disk.full = True
        self.world.push(self._bundle(aws, "granted", "granted", ALICE))
        self.world.disk.full = False
        if aws != "withdrawn":  # that is in force at once
            assert self.world.resolver.present() == before

    @rule()
    def something_is_pushed_that_is_refused(self) -> None:
        before = self.world.resolver.present()
        self.world.push(self.world.bundle(aws=self.world.session(), recipient=ANOTHER_MACHINE))
        assert self.world.resolver.present() == before

    @rule(content=st.sampled_from([b"", b"this is no bundle", None]))
    def the_file_is_spoilt_emptied_or_removed(self, content: bytes | None) -> None:
        self.world.put(content)

    @rule(seconds=st.sampled_from([0.5, 5, 31, 400, 1800, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([-HOUR, -60, 60, HOUR, 8 * HOUR]))
    def the_clock_is_stepped(self, seconds: float) -> None:
        self.world.step_clock(seconds)

    @rule(kind=st.sampled_from(KINDS), permanent=st.booleans())
    def a_cloud_begins_to_fail(self, kind: str, *, permanent: bool) -> None:
        self.world.cloud.failing[kind] = denied() if permanent else throttled()

    @precondition(lambda self: self.world.cloud.failing)
    @rule()
    def the_clouds_answer_again(self) -> None:
        self.world.cloud.failing.clear()

    @precondition(lambda self: self.world.cloud.gate is None)
    @rule()
    def the_clouds_stop_answering(self) -> None:
        self.world.cloud.gate = asyncio.Event()

    @precondition(lambda self: self.world.cloud.gate is not None)
    @rule()
    def the_clouds_go_on(self) -> None:
        assert self.world.cloud.gate is not None
        self.world.cloud.gate.set()
        self.world.cloud.gate = None
        self.world.settle()

    @precondition(lambda self: self.world.cloud.gate is None)
    @rule(slot=st.sampled_from(Slot))
    def somebody_asks_for_a_renewal(self, slot: Slot) -> None:
        self.world.renew(slot)

    @rule(trusted=st.sets(st.sampled_from(list(SENDERS))))
    def senders_are_removed_and_added(self, trusted: set[str]) -> None:
        self.world.reload(trusted_senders=frozenset(SENDERS[name].public_key.raw for name in trusted))

    @rule(audience=st.sampled_from(["lab", "another-lab"]))
    def the_audience_changes(self, audience: str) -> None:
        self.world.reload(audience=audience)

    @rule()
    def the_agent_is_restarted(self) -> None:
        self.world.restart()

    @invariant()
    def what_has_expired_is_not_handed_out(self) -> None:
        now = self.world.clock.now()
        for slot in Slot:
            content = self.world.content(slot)
            assert not isinstance(content, Held) or content.expires_at is None or now < content.expires_at

    @invariant()
    def generations_rise_and_each_is_another_set(self) -> None:
        assert self.world.generation >= self.generation
        self.generation = self.world.generation
        for before, after in pairwise(self.world.sets):
            assert after.generation == before.generation + 1
            assert [before.content(slot) for slot in Slot] != [after.content(slot) for slot in Slot]

    @invariant()
    def a_withdrawn_slot_holds_nothing(self) -> None:
        for slot, controller in self.world.resolver.controllers.items():
            if controller.state.desired.statement is Statement.WITHDRAWN:
                content = self.world.content(slot)
                assert isinstance(content, Empty)
                assert content.withdrawn

    @invariant()
    def what_was_granted_is_never_the_machines_unless_so_configured(self) -> None:
        for slot, controller in self.world.resolver.controllers.items():
            if controller.state.desired.statement is Statement.GRANTED and self.world.origin(slot) in MACHINES:
                assert self.fallback is Fallback.EXPIRED

    @invariant()
    def never_means_never(self) -> None:
        if self.fallback is Fallback.NEVER:
            assert not [call for call in self.world.cloud.calls if call.kind.endswith("machine")]
            assert not [slot for slot in Slot if self.world.origin(slot) in MACHINES]

    @invariant()
    def a_bundle_of_nobody_gives_nothing(self) -> None:
        if self.world.resolver.admission.state.in_force is None:
            assert not [slot for slot in Slot if self.world.origin(slot) in ("bundle", "assumed-role")]

    @invariant()
    def one_attempt_at_a_time(self) -> None:
        assert self.world.cloud.most_at_once <= 1

    def _bundle(self, aws: str, google: str, environment: str, sender: SenderPrivateKey) -> str:
        world = self.world
        aws_grants: dict[str, Callable[[], AwsGrant]] = {
            "session": lambda: world.session(f"ASIA{world.generation}"),
            "short session": lambda: world.session(f"ASIAS{world.generation}", lasts_s=40),
            "role": role,
        }
        return world.bundle(
            aws=aws_grants[aws]() if aws in aws_grants else Statement(aws),
            google=world.google_token() if google == "granted" else Statement(google),
            environment=variables(TOKEN="t") if environment == "granted" else Statement(environment),
            sender=sender,
        )


class FallingBack(Machine):
    fallback = Fallback.EXPIRED


class NeverFallingBack(Machine):
    fallback = Fallback.NEVER


SETTINGS = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
for _one in (Machine, FallingBack, NeverFallingBack):
    _one.TestCase.settings = SETTINGS
TestAbsent = Machine.TestCase
TestExpired = FallingBack.TestCase
TestNever = NeverFallingBack.TestCase
