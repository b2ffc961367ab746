"""Channels that have yet to be looked at: until then nothing is taken for absent, at a start and at a reload."""

import asyncio
from collections.abc import Callable

import pytest

from credagent.credentials import Empty, Slot, Statement
from credagent.slots.precedence import Fallback
from tests.scenario.harness import ALICE, BOB, HOUR, World, denied, said, variables

Worlds = Callable[..., World]
GARBAGE = b"this is no bundle"
CLOSED = Empty(may_fall_back=False)


def waiting(worlds: Worlds, *channels: str, **how: object) -> World:
    """Return a machine that was started with channels that were not looked at."""
    world = worlds(started=False, **how)
    world.unlooked = channels or ("s3",)
    return world.start()


@pytest.mark.parametrize("fallback", Fallback)
def test_until_each_channel_was_looked_at_nothing_is_handed_out_and_the_slot_is_closed(
    worlds: Worlds, fallback: Fallback
) -> None:
    world = waiting(worlds, "s3", "gs", fallback=fallback)
    world.advance(5)
    world.told("s3", None)
    assert (world.content(), world.content(Slot.GOOGLE)) == (CLOSED, CLOSED)
    assert not world.resolver.settled
    assert not said("credentials_lost")
    world.told("gs", None)
    assert world.origin() == ("none" if fallback is Fallback.NEVER else "aws-metadata")
    assert world.resolver.settled


def test_what_may_be_used_in_the_end_is_fetched_meanwhile_and_handed_out_at_once(worlds: Worlds) -> None:
    world = waiting(worlds)
    assert (world.key(), world.cloud.count("aws-machine")) == ("", 1)
    world.cloud.gate = asyncio.Event()
    world.told("s3", None)
    assert (world.key(), world.cloud.count("aws-machine")) == ("aws-machine-1", 1)


def test_what_may_never_be_used_is_not_fetched(worlds: Worlds) -> None:
    world = waiting(worlds, fallback=Fallback.NEVER)
    world.advance(60)
    assert not world.cloud.calls


@pytest.mark.parametrize("fallback", Fallback)
def test_content_that_is_refused_at_the_first_look_hands_out_nothing_as_in_a_file(
    worlds: Worlds, fallback: Fallback
) -> None:
    world = waiting(worlds, fallback=fallback)
    world.told("s3", GARBAGE)
    assert world.content() == CLOSED
    world.advance(12 * HOUR)
    assert world.content() == CLOSED
    assert not [one for one in world.sets if one.aws.__class__ is not Empty]
    world.told("s3", None)
    assert world.origin() == ("none" if fallback is Fallback.NEVER else "aws-metadata")


def test_a_bundle_that_is_there_is_the_first_that_is_handed_out(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.told("s3", world.bundle(aws=world.session()))
    assert world.key() == "ASIAALICE"
    assert [type(one.aws).__name__ for one in world.sets] == ["Empty", "Empty", "Held"]


def test_a_bundle_in_force_says_what_there_is_to_go_by(worlds: Worlds) -> None:
    world = worlds()
    world.put(world.bundle())
    world.file, world.unlooked = None, ("s3",)
    world.restart()
    assert (world.origin(), world.resolver.settled) == ("aws-metadata", True)


def test_a_delivery_resolves_what_a_channel_has_yet_to_say(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.push(world.bundle(aws=world.session()))
    assert (world.key(), world.origin(Slot.GOOGLE), world.resolver.settled) == ("ASIAALICE", "google-metadata", True)


def test_when_settle_is_over_nobody_waits_any_longer(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.advance(10)
    assert world.content() == CLOSED
    world.resolver.wait_no_longer()
    assert (world.origin(), world.resolver.settled) == ("aws-metadata", True)
    held = world.key()
    world.told("s3", GARBAGE)
    assert world.key() == held


def test_a_kept_bundle_that_is_not_admitted_any_more_resolves_nothing(worlds: Worlds) -> None:
    """What it declined is the machine's, but not before everybody was asked whether there is a newer one."""
    world = worlds()
    world.put(world.bundle())
    world.file, world.unlooked = None, ("s3",)
    world.stop()
    world.policy = type(world.policy)(audience="lab", trusted_senders=frozenset({BOB.public_key.raw}))
    world.start()
    assert world.content() == CLOSED
    world.told("s3", None)
    assert world.origin() == "aws-metadata"


# ---- reloads


def test_a_reload_opens_no_slot_that_refused_content_has_closed(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.told("s3", GARBAGE)
    world.reload()
    world.advance(5)
    assert world.content() == CLOSED
    world.resolver.wait_no_longer()  # settle is over, and it could not be read again
    world.resolver.looked_at("s3")
    world.settle()
    assert world.content() == CLOSED
    world.told("s3", GARBAGE)
    assert world.content() == CLOSED
    world.told("s3", None)
    assert world.origin() == "aws-metadata"


def test_a_reload_from_one_refused_channel_to_another_waits_for_what_that_one_holds(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.told("s3", GARBAGE)
    world.resolver.wait_no_longer()
    world.unlooked = ("https",)
    world.reload()
    assert not world.resolver.refusals.present
    assert world.content() == CLOSED
    world.told("https", GARBAGE)
    assert world.content() == CLOSED


def test_a_reload_keeps_a_refusal_under_the_channels_new_name(worlds: Worlds) -> None:
    world = waiting(worlds)
    world.told("s3", GARBAGE)
    world.resolver.take_up([], followed={"s3": "s3://bucket/key"}, unlooked=("s3://bucket/key", "s3://bucket/other"))
    assert set(world.resolver.refusals.present) == {"s3://bucket/key"}


def test_a_reload_keeps_and_renews_what_the_machine_gave_while_its_channels_are_looked_at(worlds: Worlds) -> None:
    world = worlds()
    held, generation = world.key(), world.generation
    world.unlooked = ("s3",)
    world.reload(trusted_senders=frozenset({ALICE.public_key.raw}))
    assert (world.key(), world.generation) == (held, generation)
    world.advance(4 * HOUR)
    assert world.key().startswith("aws-machine")
    assert world.key() != held


def test_a_reload_to_never_takes_the_machines_identity_back_also_while_channels_are_looked_at(worlds: Worlds) -> None:
    world = worlds()
    world.unlooked = ("s3",)
    world.reload(fallback=Fallback.NEVER)
    assert world.content() == CLOSED


def test_a_machine_without_identity_is_settled_when_its_channels_were_looked_at(worlds: Worlds) -> None:
    world = worlds(started=False)
    world.cloud.failing = {"aws-machine": denied(), "google-machine": denied()}
    world.unlooked = ("s3",)
    world.start()
    assert (world.resolver.settled, world.content()) == (False, CLOSED)
    world.told("s3", None)
    assert (world.resolver.settled, world.content()) == (True, Empty(may_fall_back=True))


def test_refused_beside_unavailable_is_not_renewed_either(world: World) -> None:
    held = world.key()
    world.push(world.bundle(aws=Statement.UNAVAILABLE))
    world.put(GARBAGE)
    world.advance(5 * HOUR)
    assert world.key() == held
    world.advance(HOUR + 1)
    assert world.content() == CLOSED


def test_the_machines_identity_that_is_only_kept_is_renewed_for_nobody(world: World) -> None:
    """A task that asks for renewals must not keep alive what ends by the table."""
    held = world.key()
    world.push(world.bundle(aws=Statement.UNAVAILABLE))
    for _ in range(3):
        world.advance(HOUR)
        assert world.renew() == "unchanged"
    assert world.key() == held
    world.advance(3 * HOUR + 1)
    assert world.content() == CLOSED


@pytest.mark.parametrize("said_now", [Statement.UNAVAILABLE, None])
def test_a_reload_to_never_ends_the_machines_identity_however_it_was_kept(
    world: World, said_now: Statement | None
) -> None:
    if said_now is not None:
        world.push(world.bundle(aws=said_now))
    world.put(GARBAGE)
    assert world.origin() == "aws-metadata"
    world.reload(fallback=Fallback.NEVER)
    assert world.content() == CLOSED


def test_a_grant_that_is_lost_on_arrival_ends_the_machines_identity_also_beside_refused_content(world: World) -> None:
    world.put(GARBAGE)
    world.push(world.bundle(aws=world.session(lasts_s=-1), environment=variables(A="1"), issued_ago_s=60))
    assert world.content() == CLOSED
