"""A bundle that only a key service opens: nobody waits for the service, and nothing is taken for absent meanwhile."""

import pytest

from credagent.admission.deferred_opening import ask
from credagent.admission.recipient_keyring import Keyring
from credagent.credentials import Statement
from credagent.errors import Refused
from credagent.slots.precedence import Fallback
from tests.scenario.harness import BOB, MACHINE, said
from tests.scenario.key_service import KeyService, Worlds, machine, opened, to_both


@pytest.mark.parametrize("fallback", list(Fallback))
def test_after_a_restart_the_slot_waits_for_it_and_is_never_the_machines(
    worlds: Worlds, service: KeyService, fallback: Fallback
) -> None:
    world = machine(worlds, service, fallback=fallback)
    calls = len(world.cloud.calls)
    world.start()
    assert service.asked == 0
    assert (world.key(), world.resolver.settled) == ("", False)
    assert not world.content().may_fall_back  # type: ignore[union-attr]  # a slot without content fails the test too
    world.advance(60)
    assert (world.key(), world.resolver.settled, len(world.cloud.calls)) == ("", False, calls)
    assert not said("credentials_lost")
    opened(world)
    assert (world.key(), world.resolver.settled) == ("ASIAALICE", True)


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
    assert (world.key(), world.origin(), world.resolver.settled) == ("", "none", True)
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
    world.resolver.waited_enough = True
    world.advance(60)
    assert (world.resolver.settled, world.key()) == (True, "")
    assert world.resolver.admission.state.withheld is not None
    assert world.resolver.admission.state.withheld.code == "not-opened-yet"


def test_a_reload_asks_it_nothing_that_is_known(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service)
    world.start()
    opened(world)
    asked = service.asked
    world.reload()
    assert (world.key(), service.asked, world.resolver.admission.state.unopened) == ("ASIAALICE", asked, ())


def test_a_reload_that_leaves_another_services_key_keeps_what_is_held_until_that_one_answers(
    worlds: Worlds, service: KeyService
) -> None:
    other = KeyService(8)
    world = worlds(started=False)
    world.keyring = Keyring(openers=(service,))
    world.start()
    text = to_both(world, service, other)
    assert world.push(text) == "new"
    world.keyring = Keyring(openers=(other,))
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
    assert world.content().withdrawn  # type: ignore[union-attr]  # a slot without content fails the test too
    opened(world)
    assert world.content().withdrawn  # type: ignore[union-attr]  # a slot without content fails the test too


def test_a_key_of_the_machines_own_opens_at_once_what_both_open(worlds: Worlds, service: KeyService) -> None:
    world = worlds(started=False)
    world.keyring = Keyring(openers=(service, MACHINE), machine_keys=(MACHINE,))
    world.start()
    assert world.push(to_both(world, service, MACHINE)) == "new"
    world.stop()
    service.asked = 0
    world.start()
    assert (world.key(), service.asked) == ("ASIAALICE", 0)


def test_an_earlier_bundle_behind_unavailable_is_waited_for_by_its_slot_alone(
    worlds: Worlds, service: KeyService
) -> None:
    world = machine(worlds, service)
    world.keyring = Keyring(openers=(MACHINE, service), machine_keys=(MACHINE,))
    world.start()
    opened(world)
    assert world.push(world.bundle(aws=Statement.UNAVAILABLE)) == "new"
    assert world.key() == "ASIAALICE"
    world.restart()
    assert (world.key(), world.resolver.settled) == ("", False)
    assert world.resolver.admission.state.in_force is not None
    opened(world)
    assert (world.key(), world.resolver.settled) == ("ASIAALICE", True)


# ---- what it opens is judged by what holds when it is open


def test_a_sender_that_is_removed_while_the_service_opens_does_not_come_back(
    worlds: Worlds, service: KeyService
) -> None:
    world = machine(worlds, service)
    world.start()
    admission = world.resolver.admission
    outcomes = {text: ask(text, world.keyring) for text in admission.state.unopened}
    world.reload(trusted_senders=frozenset({BOB.public_key.raw}))
    world.resolver.opened(outcomes)
    world.settle()
    assert (world.key(), admission.state.in_force) == ("", None)
    assert world.content().withdrawn  # type: ignore[union-attr]  # a slot without content fails the test too


@pytest.mark.parametrize("change", ["sender", "key"])
def test_a_delivery_that_is_opened_during_a_reload_is_judged_by_the_new_configuration(
    worlds: Worlds, service: KeyService, change: str
) -> None:
    world = worlds(started=False)
    world.keyring = Keyring(openers=(service,))
    world.start()
    admission = world.resolver.admission
    text = world.bundle(aws=world.session(), recipients=[service])
    opened_meanwhile = ask(text, world.keyring)
    if change == "sender":
        world.reload(trusted_senders=frozenset({BOB.public_key.raw}))
    else:
        world.keyring = Keyring(openers=(MACHINE,), machine_keys=(MACHINE,))
        world.reload()
    with pytest.raises(Refused) as refused:
        admission.admit(text, "socket", opened_meanwhile)
    assert refused.value.code == {"sender": "untrusted-sender", "key": "not-for-this-machine"}[change]
    assert admission.state.in_force is None
