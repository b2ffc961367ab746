"""One bad answer, and what comes a little later than asked for: minutes at most, and never the life of a session."""

from collections.abc import Callable

import pytest

from credagent.credentials import Held, Slot
from credagent.errors import Unavailable
from credagent.slots.precedence import Fallback
from tests.scenario.harness import HOUR, World, denied, role

Worlds = Callable[..., World]
EARLY = {"aws-machine": ("no-role", "hop-limit"), "google-machine": ("no-service-account", "metadata-unreachable")}
CASES = [(kind, code) for kind, codes in EARLY.items() for code in codes]


def slot_of(kind: str) -> Slot:
    return Slot.AWS if kind.startswith("aws") else Slot.GOOGLE


def permanent(code: str) -> Unavailable:
    return Unavailable(code, "said why", hint="wait", retry=False)


@pytest.mark.parametrize(("kind", "code"), CASES)
@pytest.mark.parametrize("late_s", [3, 20, 45])
def test_what_a_machine_gets_seconds_after_its_boot_it_has_seconds_after_that(
    worlds: Worlds, kind: str, code: str, late_s: float
) -> None:
    world = worlds(started=False)
    world.cloud.failing[kind] = permanent(code)
    world.start()
    world.advance(late_s)
    world.cloud.failing.clear()
    world.advance(1.5 * late_s)
    assert world.key(slot_of(kind))


@pytest.mark.parametrize(("kind", "code"), CASES)
def test_a_role_that_comes_hours_later_is_there_within_two_minutes(worlds: Worlds, kind: str, code: str) -> None:
    world = worlds(started=False)
    world.cloud.failing[kind] = permanent(code)
    world.start()
    world.advance(5 * HOUR)
    world.cloud.failing.clear()
    world.advance(66)
    assert world.key(slot_of(kind))


@pytest.mark.parametrize("life_s", [25, 60, 900, HOUR, 12 * HOUR])
@pytest.mark.parametrize("kind", ["aws-machine", "google-machine", "aws-assume-role"])
def test_one_refusal_at_a_renewal_costs_nothing(worlds: Worlds, kind: str, life_s: float) -> None:
    world = worlds(started=False)
    world.cloud.lifetimes[kind] = life_s
    world.start()
    if kind == "aws-assume-role":
        world.put(world.bundle(aws=role()))
    slot = slot_of(kind)
    asked, first = world.cloud.count(kind), world.key(slot)
    world.cloud.failing[kind] = denied()
    world.advance(0.2 * life_s)
    while world.cloud.count(kind) == asked:
        world.advance(min(life_s / 100, 0.8))
    world.cloud.failing.clear()
    world.advance(2)
    assert world.key(slot) not in ("", first)


@pytest.mark.parametrize("life_s", [25, 60, 900, HOUR])
def test_a_refusal_that_lasts_until_shortly_before_the_end_leaves_no_gap(worlds: Worlds, life_s: float) -> None:
    world = worlds(started=False)
    world.cloud.lifetimes["aws-machine"] = life_s
    world.start()
    world.cloud.failing["aws-machine"] = permanent("hop-limit")
    content = world.content()
    assert isinstance(content, Held)
    world.advance(life_s * 0.7)
    assert world.failure_code() == "hop-limit"
    world.cloud.failing.clear()
    for _ in range(100):
        assert world.key()
        world.advance(life_s / 100)


def test_what_was_lost_to_a_refusal_is_asked_for_at_once_and_then_each_minute(worlds: Worlds) -> None:
    """Not after the rest of a wait that was meant for a time when something was held."""
    world = worlds(started=False)
    world.cloud.lifetimes["aws-machine"] = HOUR
    world.start()
    world.cloud.failing["aws-machine"] = denied()
    world.advance(HOUR + 5)
    assert world.key() == ""
    world.cloud.failing.clear()
    world.advance(8)
    assert world.key()


def test_a_slept_through_end_is_asked_for_at_once_however_long_the_last_refusal_meant_to_wait(worlds: Worlds) -> None:
    world = worlds(started=False)
    world.start()
    world.cloud.failing["aws-machine"] = denied()
    world.advance(3.4 * HOUR)  # past half of six hours, whatever the jitter
    assert world.failure_code() == "access-denied"
    world.cloud.failing.clear()
    world.step_clock(8 * HOUR)
    world.advance(31)
    assert world.key()


def test_a_service_that_asks_to_be_left_alone_is_left_alone(worlds: Worlds) -> None:
    world = worlds(fallback=Fallback.ABSENT)
    world.cloud.failing["aws-assume-role"] = Unavailable("throttled", "slower", hint="wait", retry_after_s=120)
    world.put(world.bundle(aws=role()))
    world.advance(119)
    assert world.cloud.count("aws-assume-role") == 1
    world.cloud.failing.clear()
    world.advance(14)
    assert world.origin() == "assumed-role"


def test_a_machine_of_another_cloud_is_not_asked_each_minute_for_ever(worlds: Worlds) -> None:
    world = worlds(started=False)
    world.cloud.failing["google-machine"] = permanent("no-identity")
    world.start()
    world.advance(HOUR)
    assert world.cloud.count("google-machine") <= 7 + 5
