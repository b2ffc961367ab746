"""The custody's own bookkeeping; what it does to slots is told in the scenarios."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from credagent.credentials import Slot, Statement
from credagent.errors import NotForThisMachine, Refused
from tests.scenario.conftest import world, worlds
from tests.scenario.harness import World, variables

__all__ = ["world", "worlds"]


def test_passes_within_a_pass_publish_once_at_the_end(world: World) -> None:
    told = len(world.sets)
    with world.custody.one_set():
        world.custody.push(world.bundle(environment=variables(TOKEN="one")), "socket")
        with world.custody.one_set():
            world.custody.push(world.bundle(environment=variables(TOKEN="two")), "socket")
        assert len(world.sets) == told
    assert len(world.sets) == told + 1
    assert world.key(Slot.ENVIRONMENT) == "TOKEN=two"


def test_a_pass_that_fails_still_publishes_what_it_has_done(world: World) -> None:
    with suppress(ZeroDivisionError), world.custody.one_set():
        world.custody.push(world.bundle(environment=variables(TOKEN="one")), "socket")
        raise ZeroDivisionError
    assert world.key(Slot.ENVIRONMENT) == "TOKEN=one"
    world.push(world.bundle(environment=variables(TOKEN="two")))
    assert world.key(Slot.ENVIRONMENT) == "TOKEN=two"


def test_whoever_waits_is_told_of_each_pass_also_where_the_set_is_the_same(world: World) -> None:
    told: list[int] = []
    world.custody.on_change = lambda: told.append(world.generation)
    world.custody.instruct()
    assert told == [world.generation]


def test_refusals_are_remembered_up_to_a_bound_and_counted_beyond(world: World) -> None:
    for number in range(50):
        world.push(f"nonsense {number}")
    assert len(world.custody.refusals) == 20
    assert not world.custody.refused_now


def test_what_is_for_others_on_a_shared_channel_is_no_refusal(world: World) -> None:
    world.custody.refuse_content(Refused("malformed", "cut"), "s3", shared=True)
    assert set(world.custody.refused_now) == {"s3"}
    world.custody.refuse_content(NotForThisMachine("not-for-this-machine", "for others"), "s3", shared=True)
    assert not world.custody.refused_now


@pytest.mark.parametrize("code", ["replayed", "superseded"])
def test_old_content_is_told_and_refuses_nothing(world: World, code: str) -> None:
    world.custody.refuse_content(Refused(code, "old"), "file", shared=False)
    assert [refusal.code for refusal in world.custody.refusals] == [code]
    assert not world.custody.refused_now


def test_having_waited_enough_is_being_settled(worlds: Callable[..., World]) -> None:
    world = worlds(started=False)
    world.start(patient=False)
    assert not world.custody.settled
    world.custody.waited_enough = True
    assert world.custody.settled


def test_a_slot_is_filled_while_it_lives_long_enough(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=60), google=Statement.WITHDRAWN))
    assert [world.custody.is_filled(slot) for slot in Slot] == [True, False, False]
    world.advance(51)
    assert not world.custody.is_filled(Slot.AWS)
    assert world.key()
