"""What is kept goes on being in force while the key service that opens it is away."""

from typing import Any

import pytest

from credagent.admission.recipient_keyring import Keyring
from credagent.credentials import Statement
from tests.scenario.harness import BOB, HOUR, MACHINE, World
from tests.scenario.key_service import KeyService, Worlds, machine, opened


def both(worlds: Worlds, service: KeyService, aws: Any) -> World:
    """Return a started machine whose service is away, and which can open with a key of its own too."""
    world = machine(worlds, service, aws)
    world.keyring = Keyring(openers=(service, MACHINE), machine_keys=(MACHINE,))
    service.away = True
    world.start()
    return world


@pytest.mark.parametrize("asked", [False, True], ids=["not yet asked", "asked in vain"])
def test_an_older_bundle_of_another_sender_does_not_win_while_the_one_in_force_cannot_be_opened(
    worlds: Worlds,
    service: KeyService,
    asked: bool,  # noqa: FBT001  parametrised
) -> None:
    world = both(worlds, service, Statement.WITHDRAWN)
    if asked:
        opened(world)
    old = world.bundle(aws=world.session(), sender=BOB, issued_ago_s=5 * HOUR)
    assert world.push(old) == "superseded"
    assert world.key() == ""
    service.away = False
    opened(world)
    assert world.content().withdrawn  # type: ignore[union-attr]  # a slot without content fails the test too
    world.advance(1)
    assert world.push(world.bundle(aws=world.session(), sender=BOB)) == "new"


def test_a_removed_senders_bundle_that_cannot_be_opened_stands_in_nobodys_way(
    worlds: Worlds, service: KeyService
) -> None:
    world = both(worlds, service, Statement.WITHDRAWN)
    opened(world)
    world.reload(trusted_senders=frozenset({BOB.public_key.raw}))
    assert world.push(world.bundle(aws=world.session(), sender=BOB, issued_ago_s=5 * HOUR)) == "new"


def test_the_kept_bundle_is_taken_up_when_its_channel_brings_it_again(worlds: Worlds, service: KeyService) -> None:
    world = machine(worlds, service)
    text = world.disk.kept.bundle
    assert text is not None
    service.away = True
    world.start()
    opened(world)
    assert world.push(text) == "timed-out"
    service.away = False
    assert world.push(text) == "again"
    assert (world.key(), world.resolver.admission.state.withheld) == ("ASIAALICE", None)


@pytest.mark.parametrize("asked", [False, True], ids=["not yet asked", "asked in vain"])
def test_unavailable_keeps_what_may_have_granted_the_slot_and_could_not_be_opened(
    worlds: Worlds,
    service: KeyService,
    asked: bool,  # noqa: FBT001  parametrised
) -> None:
    world = both(worlds, service, None)
    if asked:
        opened(world)
    assert world.push(world.bundle(aws=Statement.UNAVAILABLE)) == "new"
    assert world.push(world.bundle(aws=Statement.UNAVAILABLE)) == "new"
    assert world.key() == ""
    world.restart()
    opened(world)
    assert world.push(world.bundle(aws=Statement.UNAVAILABLE)) == "new"
    assert world.key() == ""
    service.away = False
    opened(world)
    assert world.key() == "ASIAALICE"
    assert world.push(world.bundle(aws=Statement.DECLINED)) == "new"
    assert not world.disk.kept.earlier
