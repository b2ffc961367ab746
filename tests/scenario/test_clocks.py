"""Clocks that are stepped and machines that sleep: nothing expired is handed out, nothing is asked for in a circle."""

from credagent.credentials import Empty, Held, Slot
from tests.scenario.harness import HOUR, World, role


def test_a_clock_stepped_forward_by_an_hour_renews_at_once_and_hands_out_nothing_expired(world: World) -> None:
    world.put(world.bundle(aws=role()))
    first = world.key()
    world.step_clock(HOUR)
    assert world.key() == ""  # asked before any keeper looked
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
    """A keeper that is late must not make an answer wrong, nor may only the one who asked hear of it."""
    world.put(world.bundle(aws=world.session()))
    told = len(world.sets)
    world.step_clock(HOUR)
    assert isinstance(world.custody.store.current.aws, Held)
    assert world.custody.present().aws == Empty(may_fall_back=False)
    assert len(world.sets) == told + 1
