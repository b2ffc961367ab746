"""The resolver's own bookkeeping; what it does to slots is told in the scenarios."""

from collections.abc import Callable

import pytest

from credagent.credentials import Slot, Statement
from credagent.errors import CredagentError, NotForThisMachine, Refused
from credagent.slots.credential_resolver import Arrival
from tests.scenario.conftest import world, worlds
from tests.scenario.harness import World, variables

__all__ = ["world", "worlds"]


def arrival(content: CredagentError | str, channel: str, *, shared: bool = False) -> Arrival:
    return Arrival(content=content.encode() if isinstance(content, str) else content, channel=channel, shared=shared)


def test_what_all_channels_hold_at_a_start_is_published_as_one_set(world: World) -> None:
    told = len(world.sets)
    one = world.bundle(environment=variables(TOKEN="one"))
    two = world.bundle(environment=variables(TOKEN="two"))
    world.resolver.take_up([arrival(one, "file"), arrival(two, "env")])
    assert len(world.sets) == told + 1
    assert world.key(Slot.ENVIRONMENT) == "TOKEN=two"


def test_listeners_are_told_of_each_pass_also_where_the_set_is_the_same(world: World) -> None:
    told: list[tuple[bool, int]] = []
    world.resolver.store.listen(lambda old, new: told.append((old is new, new.generation)))
    world.resolver.resolve()
    assert told == [(True, world.generation)]


def test_refusals_are_remembered_up_to_a_bound_and_counted_beyond(world: World) -> None:
    for number in range(50):
        world.push(f"nonsense {number}")
    assert len(world.resolver.refusals.recent) == 20
    assert not world.resolver.refusals.present


def test_what_is_for_others_on_a_shared_channel_is_no_refusal(world: World) -> None:
    world.resolver.offer(arrival(Refused("malformed", "cut"), "s3", shared=True))
    assert set(world.resolver.refusals.present) == {"s3"}
    world.resolver.offer(arrival(NotForThisMachine("not-for-this-machine", "for others"), "s3", shared=True))
    assert not world.resolver.refusals.present


@pytest.mark.parametrize("code", ["replayed", "superseded"])
def test_old_content_is_told_and_refuses_nothing(world: World, code: str) -> None:
    world.resolver.offer(arrival(Refused(code, "old"), "file"))
    assert [refusal.code for refusal in world.resolver.refusals.recent] == [code]
    assert not world.resolver.refusals.present


def test_having_waited_enough_is_being_settled(worlds: Callable[..., World]) -> None:
    world = worlds(started=False)
    world.start(patient=False)
    assert not world.resolver.settled
    world.resolver.wait_no_longer()
    assert world.resolver.settled


def test_a_slot_is_filled_while_it_lives_long_enough(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=60), google=Statement.WITHDRAWN))
    assert [world.resolver.is_filled(slot) for slot in Slot] == [True, False, False]
    world.advance(51)
    assert not world.resolver.is_filled(Slot.AWS)
    assert world.key()
