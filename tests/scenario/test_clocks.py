"""Clocks that are stepped and machines that sleep: nothing expired is handed out, nothing is asked for in a circle."""

from collections.abc import Callable

import pytest

from credagent.credentials import Empty, Held, Slot
from tests.scenario.harness import HOUR, World, role, throttled
from tests.scenario.parts import name_of


def test_a_clock_stepped_forward_by_an_hour_renews_at_once_and_hands_out_nothing_expired(world: World) -> None:
    world.put(world.bundle(aws=role()))
    first = world.key()
    world.step_clock(HOUR)
    assert world.key() == ""  # asked before any controller looked
    world.advance(31)
    assert world.key() not in ("", first)


def test_a_clock_stepped_back_by_an_hour_makes_no_hot_loop_and_no_gap(world: World) -> None:
    world.put(world.bundle(aws=role()))
    world.step_clock(-HOUR)
    calls = world.cloud.count("aws-assume-role")
    for _ in range(60):
        world.advance(120)
        assert world.origin() == "assumed-role"
    assert world.cloud.count("aws-assume-role") - calls <= 4


def test_a_session_comes_back_when_a_clock_that_was_ahead_is_set_right(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAALICE")))
    world.step_clock(2 * HOUR)
    assert world.key() == ""
    world.advance(30)
    world.step_clock(-2 * HOUR)
    world.advance(31)
    assert world.key() == "ASIAALICE"
    assert world.failure_code() == ""


def test_a_machine_that_slept_hands_out_nothing_expired_and_renews_within_half_a_minute(world: World) -> None:
    """While a virtual machine is suspended its monotonic clock stands still: all waits go on as if nothing had been."""
    world.put(world.bundle(aws=role(), google=world.google_token()))
    first = world.key()
    world.step_clock(8 * HOUR)
    assert world.key() == ""
    assert world.key(Slot.GOOGLE) == ""
    world.advance(31)
    assert world.key() not in ("", first)
    assert world.key(Slot.GOOGLE) == ""


def test_what_is_asked_for_is_judged_when_it_is_answered_and_told_to_all(world: World) -> None:
    """A controller that is late must not make an answer wrong, nor may only the one who asked hear of it."""
    world.put(world.bundle(aws=world.session()))
    told = len(world.sets)
    world.step_clock(HOUR)
    assert isinstance(world.resolver.store.current.aws, Held)
    assert world.resolver.present().aws == Empty(may_fall_back=False)
    assert len(world.sets) == told + 1


@pytest.mark.parametrize("ahead_s", [60, HOUR, 24 * HOUR])
def test_a_token_obtained_by_a_clock_that_was_ahead_is_handed_out_no_longer_than_it_lives(
    worlds: Callable[..., World], ahead_s: float
) -> None:
    """Google says how long, and not until when: set right, the clock would make it look younger."""
    world = worlds(started=False)
    world.step_clock(ahead_s)
    world.start()
    first = world.key(Slot.GOOGLE)
    world.advance(600)
    world.step_clock(-ahead_s)
    world.advance(31)
    assert world.key(Slot.GOOGLE) == first
    world.cloud.failing["google-machine"] = throttled()
    world.advance(HOUR - 600 - 31 - 1)
    assert world.key(Slot.GOOGLE) == first
    world.advance(1.001)
    assert world.key(Slot.GOOGLE) == ""


def test_a_token_obtained_by_a_clock_that_was_ahead_is_renewed_when_it_has_to_be(worlds: Callable[..., World]) -> None:
    world = worlds(started=False)
    world.step_clock(24 * HOUR)
    world.start()
    first = world.key(Slot.GOOGLE)
    world.step_clock(-24 * HOUR)
    for _ in range(12):
        world.advance(300)
        assert world.key(Slot.GOOGLE)
    assert world.key(Slot.GOOGLE) != first


def test_a_clock_that_is_wrong_for_a_while_takes_no_life_from_what_was_obtained_before(world: World) -> None:
    world.cloud.failing["google-machine"] = throttled()
    first = world.content(Slot.GOOGLE)
    world.step_clock(-HOUR / 2)
    world.advance(31)
    world.step_clock(HOUR / 2)
    world.advance(31)
    world.step_clock(HOUR / 2)
    world.advance(31)
    world.step_clock(-HOUR / 2)
    world.advance(31)
    assert world.key(Slot.GOOGLE) == name_of(first)


def test_what_a_clock_made_look_expired_is_asked_for_again_at_once_also_when_it_was_set_back(world: World) -> None:
    world.cloud.failing["google-machine"] = throttled()
    world.step_clock(8 * HOUR)
    world.advance(31)
    assert world.key(Slot.GOOGLE) == ""
    world.step_clock(-8 * HOUR)
    world.cloud.failing.clear()
    world.advance(400)
    assert world.key(Slot.GOOGLE)
