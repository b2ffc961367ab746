"""A bundle that only a key service opens: nobody waits for the service, and nothing is taken for absent meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

from credagent.bundle.wrapping import StanzaKind, WrapContext
from credagent.channels.keyring import Keyring
from credagent.credentials import Statement
from credagent.errors import Unavailable
from credagent.rules.precedence import Fallback
from tests.scenario.harness import BOB, MACHINE, World, said

Worlds = Callable[..., World]


class KeyService:
    """A key that a cloud holds; `asked` counts, `away` is a service that does not answer."""

    kind = StanzaKind.AWS_KMS

    def __init__(self, number: int = 7) -> None:
        self.recipient_id = bytes([number]) * 16
        self.asked, self.away = 0, False

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        return content_key[::-1] + bytes(32)

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        self.asked += 1
        if self.away:
            raise Unavailable("timed-out", "no answer", hint="look at the network")
        return body[:32][::-1]


@pytest.fixture
def service() -> KeyService:
    return KeyService()


def machine(worlds: Worlds, service: KeyService, aws: Any = None, **how: Any) -> World:
    """Return a machine that has a bundle in force which only the service opens, and is stopped."""
    world = worlds(started=False, **how)
    world.keyring = Keyring(openers=(service,), local_only=False)
    world.start()
    put(world, service, world.session() if aws is None else aws)
    world.stop()
    service.asked = 0
    return world


def put(world: World, service: KeyService, aws: Any, **how: Any) -> None:
    assert world.push(world.bundle(aws=aws, recipients=[service], **how)) == "new"


def opened(world: World) -> None:
    """Let the service answer, as the daemon does beside its loop."""
    intake = world.custody.intake
    texts = (*intake.unopened, *intake.unavailable)
    world.custody.reopened({text: intake.attempt(text) for text in texts})
    world.settle()


@pytest.mark.parametrize("fallback", list(Fallback))
def test_after_a_restart_the_slot_waits_for_it_and_is_never_the_machines(
    worlds: Worlds, service: KeyService, fallback: Fallback
) -> None:
    world = machine(worlds, service, fallback=fallback)
    calls = len(world.cloud.calls)
    world.start()
    assert service.asked == 0
    assert (world.key(), world.custody.settled) == ("", False)
    assert not world.content().may_fall_back  # type: ignore[union-attr]
    world.advance(60)
    assert (world.key(), world.custody.settled, len(world.cloud.calls)) == ("", False, calls)
    assert not said("credentials_lost")
    opened(world)
    assert (world.key(), world.custody.settled) == ("ASIAALICE", True)


def test_what_it_declined_is_the_machines_once_that_is_known(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service, Statement.DECLINED)
    world.start()
    assert world.origin() == "none"
    opened(world)
    assert world.origin() == "aws-metadata"


def test_a_service_that_does_not_answer_makes_the_grant_not_to_be_had_and_loses_nothing(
    worlds: Worlds, service: KeyService
) -> None:
    world = machine(worlds, service)
    service.away = True
    world.start()
    opened(world)
    assert (world.key(), world.origin(), world.custody.settled) == ("", "none", True)
    assert len(said("credentials_lost", slot="aws")) == 1
    opened(world)
    assert len(said("credentials_lost", slot="aws")) == 1
    service.away = False
    opened(world)
    assert world.key() == "ASIAALICE"


def test_a_service_that_does_not_answer_leaves_the_machines_identity_where_the_configuration_says_so_loudly(
    worlds: Worlds, service: KeyService
) -> None:
    world = machine(worlds, service, fallback=Fallback.EXPIRED)
    service.away = True
    world.start()
    assert world.origin() == "none"
    opened(world)
    assert world.origin() == "aws-metadata"
    assert said("credentials_lost", slot="aws")


def test_settle_makes_it_ready_and_the_slot_stays_empty(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service)
    world.start()
    world.custody.waited_enough = True
    world.advance(60)
    assert (world.custody.settled, world.key()) == (True, "")
    assert world.custody.intake.withheld is not None
    assert world.custody.intake.withheld.code == "not-opened-yet"


def test_a_reload_asks_it_nothing_that_is_known(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service)
    world.start()
    opened(world)
    asked = service.asked
    world.reload()
    assert (world.key(), service.asked, world.custody.intake.unopened) == ("ASIAALICE", asked, ())


def test_a_reload_that_leaves_another_services_key_keeps_what_is_held_until_that_one_answers(
    worlds: Worlds, service: KeyService
) -> None:
    other = KeyService(8)
    world = worlds(started=False)
    world.keyring = Keyring(openers=(service,), local_only=False)
    world.start()
    text = _to_both(world, service, other)
    assert world.push(text) == "new"
    world.keyring = Keyring(openers=(other,), local_only=False)
    generation = world.generation
    world.reload()
    assert (world.key(), world.generation, other.asked) == ("ASIAALICE", generation, 0)
    opened(world)
    assert (world.key(), world.generation, other.asked) == ("ASIAALICE", generation, 1)


def test_a_sender_removed_is_withdrawn_without_asking_it(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service)
    world.start()
    world.reload(trusted_senders=frozenset({BOB.public_key.raw}))
    assert service.asked == 0
    assert world.content().withdrawn  # type: ignore[union-attr]
    opened(world)
    assert world.content().withdrawn  # type: ignore[union-attr]


def test_a_key_of_the_machines_own_opens_at_once_what_both_open(worlds: Worlds, service: KeyService) -> None:
    world = worlds(started=False)
    world.keyring = Keyring(openers=(service, MACHINE), own=MACHINE, local_only=False)
    world.start()
    assert world.push(_to_both(world, service, MACHINE)) == "new"
    world.stop()
    service.asked = 0
    world.start()
    assert (world.key(), service.asked) == ("ASIAALICE", 0)


def test_an_earlier_bundle_behind_unavailable_is_waited_for_by_its_slot_alone(
    worlds: Worlds, service: KeyService
) -> None:
    world = machine(worlds, service)
    world.keyring = Keyring(openers=(MACHINE, service), own=MACHINE, local_only=False)
    world.start()
    opened(world)
    assert world.push(world.bundle(aws=Statement.UNAVAILABLE)) == "new"
    assert world.key() == "ASIAALICE"
    world.restart()
    assert (world.key(), world.custody.settled) == ("", False)
    assert world.custody.intake.in_force is not None
    opened(world)
    assert (world.key(), world.custody.settled) == ("ASIAALICE", True)


def _to_both(world: World, *keys: Any) -> str:
    return world.bundle(aws=world.session(), recipients=[getattr(key, "public_key", key) for key in keys])
