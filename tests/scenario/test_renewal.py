"""Renewal as workers see it: what is handed out while attempts succeed and fail, and who is warned of what."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from credagent.credentials import Empty, Held, Slot
from credagent.errors import InternalError, Unavailable
from credagent.slots.precedence import Fallback
from tests.scenario.harness import HOUR, World, denied, role, said, throttled, variables

FAILURES: list[Unavailable | InternalError] = [
    denied(),
    throttled(),
    Unavailable("expired-on-arrival", "they had expired when they came", hint="is this machine's clock right?"),
    Unavailable("deadline", "no answer in time"),
    InternalError("helper-answer", "the helper answered nothing"),
]


def held(world: World, slot: Slot = Slot.AWS) -> Held:
    content = world.content(slot)
    assert isinstance(content, Held)
    return content


# ---- failures


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.code)
def test_a_failed_renewal_changes_nothing_while_what_is_held_is_valid(
    world: World, failure: Unavailable | InternalError
) -> None:
    world.put(world.bundle(aws=role()))
    before = world.resolver.store.current
    world.cloud.failing["aws-assume-role"] = failure
    world.advance(HOUR - 60)
    assert world.resolver.store.current.aws == before.aws
    assert world.failure_code() == failure.code
    world.advance(61)
    assert world.key() == ""
    world.cloud.failing.clear()
    world.advance(16 * 60)
    assert world.origin() == "assumed-role"
    assert world.failure_code() == ""


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.code)
def test_no_failure_makes_a_hot_loop(world: World, failure: Unavailable | InternalError) -> None:
    """While nothing is held: doubling from a second to five minutes, for ever, whatever the failure is called."""
    world.cloud.failing["aws-assume-role"] = failure
    world.put(world.bundle(aws=role()))
    world.advance(8 * HOUR)
    calls = [call.monotonic for call in world.cloud.calls if call.kind == "aws-assume-role"]
    pauses = [later - sooner for sooner, later in pairwise(calls)]
    assert min(pauses) >= 0.9
    assert max(pauses) <= 1.1 * 300 + 30
    assert len(calls) <= 120


def test_a_grant_whose_role_was_deleted_is_shown_retried_slowly_and_taken_up_when_it_is_back(world: World) -> None:
    world.put(world.bundle(aws=role()))
    world.cloud.failing["aws-assume-role"] = denied()
    world.advance(3 * HOUR)
    assert world.content() == Empty(may_fall_back=False)
    failure = world.resolver.controllers[Slot.AWS].state.failure
    assert failure is not None
    assert (failure.code, failure.permanent, failure.hint) == (
        "access-denied",
        True,
        "may this identity assume that role?",
    )
    assert failure.failures > 3
    world.cloud.failing.clear()
    assert world.renew() == "renewed"  # a person need not wait for the next slow attempt
    assert world.origin() == "assumed-role"


def test_a_role_that_the_configuration_does_not_list_never_reaches_the_cloud(world: World) -> None:
    world.put(world.bundle(aws=role(role_arn="arn:aws:iam::123456789012:role/admin")))
    assert world.failure_code() == "role-not-listed"
    assert world.failure_hint()
    assert world.content() == Empty(may_fall_back=False)


def test_the_grant_is_taken_up_again_from_behind_the_machines_identity(worlds: Callable[..., World]) -> None:
    """With `fallback = "expired"` the machine's identity stands in, and the grant is tried on."""
    world = worlds(fallback=Fallback.EXPIRED)
    world.cloud.failing["aws-assume-role"] = throttled()
    world.put(world.bundle(aws=role()))
    assert world.origin() == "aws-metadata"
    assert world.failure_code() == "throttled"
    world.cloud.failing.clear()
    world.advance(HOUR)
    assert world.origin() == "assumed-role"


def test_no_identity_on_a_laptop_is_information_and_no_error(worlds: Callable[..., World]) -> None:
    world = worlds(started=False)
    for kind in ("aws-machine", "google-machine"):
        world.cloud.failing[kind] = Unavailable("no-identity", "none here", retry=False)
    world.start()
    assert world.content() == Empty(may_fall_back=True)
    failure = world.resolver.controllers[Slot.AWS].state.failure
    assert failure is not None
    assert failure.quiet
    assert not [one for one in said("renewal_failed") if one["level"] != "info"]
    world.advance(8 * HOUR)
    assert world.cloud.count("aws-machine") < 40


# ---- successes


def test_a_session_is_renewed_at_half_of_its_life_and_well_before_its_last_twenty_minutes(world: World) -> None:
    world.put(world.bundle(aws=role()))
    world.advance(12 * HOUR)
    calls = [call.at for call in world.cloud.calls if call.kind == "aws-assume-role"]
    pauses = [(later - sooner).total_seconds() for sooner, later in pairwise(calls)]
    assert all(0.45 * HOUR - 1 <= pause <= 0.55 * HOUR + 31 for pause in pauses)
    assert len({round(pause) for pause in pauses}) > 1  # jitter is drawn anew for each


@pytest.mark.parametrize("life_s", [20, 60, 900, 3600, 12 * 3600])
def test_there_is_never_a_gap_whatever_the_life(world: World, life_s: int) -> None:
    world.cloud.lifetimes["aws-assume-role"] = life_s
    world.put(world.bundle(aws=role()))
    for _ in range(25):
        world.advance(life_s / 10)
        left = (held(world).expires_at or world.clock.now()) - world.clock.now()
        assert left.total_seconds() > 0.3 * life_s
    assert world.cloud.count("aws-assume-role") <= 14


def test_a_shorter_session_than_asked_for_is_renewed_by_its_own_life(world: World) -> None:
    world.cloud.lifetimes["aws-assume-role"] = 900
    world.put(world.bundle(aws=role(duration_s=3600)))
    world.advance(900)
    assert world.origin() == "assumed-role"
    assert world.cloud.count("aws-assume-role") >= 3


def test_the_same_token_again_is_a_success_and_no_change(world: World) -> None:
    """Google's metadata server answers with one token until a few minutes before its end."""
    token = held(world, Slot.GOOGLE)
    world.cloud.same_token = token
    before, generations = world.generation, world.resolver.controllers[Slot.GOOGLE].state.failure
    world.advance(50 * 60)
    assert world.cloud.count("google-machine") >= 3
    assert (world.generation, world.resolver.controllers[Slot.GOOGLE].state.failure) == (before, generations)
    assert world.renew(Slot.GOOGLE) == "unchanged"
    calls = world.cloud.count("google-machine")
    world.advance(9 * 60)
    assert world.cloud.count("google-machine") - calls < 40  # more often as its end comes near, and no hot loop
    world.cloud.same_token = None
    world.advance(60)
    assert world.origin(Slot.GOOGLE) == "google-metadata"
    assert held(world, Slot.GOOGLE) != token


def test_renewal_goes_on_without_the_sender_and_ends_with_the_bundle(world: World) -> None:
    world.put(world.bundle(aws=role(), lasts_s=10 * HOUR))
    world.advance(9.9 * HOUR)
    assert world.origin() == "assumed-role"
    assert (held(world).expires_at or world.clock.now()) - world.clock.now() <= timedelta(hours=0.11)
    world.advance(0.2 * HOUR)
    calls = world.cloud.count("aws-assume-role")
    assert world.key() == ""
    assert world.failure_code() == "not-after"
    world.advance(10 * HOUR)
    assert world.cloud.count("aws-assume-role") == calls


def test_nothing_is_said_to_workers_that_is_not_new(world: World) -> None:
    world.put(world.bundle(aws=role(), environment=variables(TOKEN="t")))
    world.advance(12 * HOUR)
    names = [(one.generation, one.aws, one.google, one.environment) for one in world.sets]
    assert [number for number, *_ in names] == list(range(len(names)))
    assert all(before[1:] != after[1:] for before, after in pairwise(names))


# ---- warnings


def test_a_session_that_only_its_sender_can_renew_is_asked_for_three_times_and_each_once(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=HOUR)))
    told = []
    for _ in range(60):
        world.advance(60)
        told.append(len(said("session_not_renewed", slot="aws")))
    assert [told[minute] for minute in (28, 31, 43, 46, 52, 55)] == [0, 1, 1, 2, 2, 3]
    assert [one["life_passed"] for one in said("session_not_renewed")] == [0.5, 0.75, 0.9]
    assert told[-1] == 3


def test_a_restart_does_not_make_a_session_younger(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=HOUR)))
    world.advance(0.6 * HOUR)
    world.restart()
    world.advance(0.2 * HOUR)
    assert [one["life_passed"] for one in said("session_not_renewed")] == [0.5, 0.5, 0.75]


def test_a_new_session_is_warned_of_anew(world: World) -> None:
    for key in ("ASIAONE", "ASIATWO"):
        world.put(world.bundle(aws=world.session(key, lasts_s=HOUR)))
        world.advance(0.6 * HOUR)
    assert len(said("session_not_renewed")) == 2


def test_nobody_is_asked_for_what_renews_itself(world: World) -> None:
    world.cloud.failing["aws-machine"] = denied()
    world.put(world.bundle(aws=role()))
    world.advance(4 * HOUR)
    assert not said("session_not_renewed")
