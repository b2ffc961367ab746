"""Every cell of the precedence table (it is in PRECEDENCE.md), from a sealed bundle to what a worker gets.

Each row is a story that ends where the row begins; its three outcomes are those of `fallback` = absent, expired, never.
"""

import asyncio
from collections.abc import Callable

import pytest

from credagent.credentials import Empty, Slot, Statement
from credagent.errors import PermissionRefused, Refused
from credagent.slots.precedence import Fallback
from tests.scenario.harness import HOUR, World, denied, role, said, throttled, variables

MACHINE, GRANT, NOTHING = "aws-machine", "ASIAALICE", ""
ON_THE_MACHINE = (MACHINE, MACHINE, NOTHING)
ALWAYS_THE_GRANT = (GRANT, GRANT, GRANT)
LOUDLY_LOST = (NOTHING, MACHINE, NOTHING)
ALWAYS_NOTHING = (NOTHING, NOTHING, NOTHING)

Story = Callable[[World], object]


def nothing_ever_came(world: World) -> None:
    pass


def declined(world: World) -> None:
    world.put(world.bundle())


def granted(world: World) -> None:
    world.put(world.bundle(aws=world.session()))


def granted_then_expired(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.advance(HOUR + 1)


def granted_then_its_bundle_ended(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=2 * HOUR), lasts_s=HOUR))
    world.advance(HOUR + 1)


def granted_and_not_to_be_had(world: World) -> None:
    world.cloud.failing["aws-assume-role"] = denied()
    world.put(world.bundle(aws=role()))


def granted_and_expired_on_arrival(world: World) -> None:
    world.put(world.bundle(aws=world.session(lasts_s=-1), environment=variables(A="1"), issued_ago_s=60))


def granted_expired_and_found_so_after_a_restart(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.stop()
    world.advance(HOUR + 1)
    world.start()


def granted_and_restarted(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.file = None
    world.restart()


def unavailable_while_held(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.put(world.bundle(aws=Statement.UNAVAILABLE))


def unavailable_while_held_and_restarted(world: World) -> None:
    unavailable_while_held(world)
    world.file = None
    world.restart()


def unavailable_twice_while_held(world: World) -> None:
    unavailable_while_held(world)
    world.put(world.bundle(aws=Statement.UNAVAILABLE))


def unavailable_until_expired(world: World) -> None:
    unavailable_while_held(world)
    world.advance(HOUR + 1)


def unavailable_expired_and_restarted(world: World) -> None:
    unavailable_until_expired(world)
    world.restart()


def unavailable_and_never_granted(world: World) -> None:
    world.cloud.failing["aws-machine"] = throttled()
    world.advance(6 * HOUR + 1)
    world.put(world.bundle(aws=Statement.UNAVAILABLE))
    world.cloud.failing.clear()
    world.advance(400)


def withdrawn(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.put(world.bundle(aws=Statement.WITHDRAWN))


def withdrawn_and_restarted(world: World) -> None:
    withdrawn(world)
    world.restart()


def withdrawn_where_the_machines_was_used(world: World) -> None:
    world.put(world.bundle(aws=Statement.WITHDRAWN))


def refused_content_beside_a_grant(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.put(b"this is no bundle")


def refused_content_and_the_grant_expires(world: World) -> None:
    refused_content_beside_a_grant(world)
    world.advance(HOUR + 1)


def refused_content_and_the_grant_found_expired_after_a_restart(world: World) -> None:
    refused_content_beside_a_grant(world)
    world.stop()
    world.advance(HOUR + 1)
    world.start()


def unavailable_and_refused_content(world: World) -> None:
    unavailable_while_held(world)
    world.put(b"this is no bundle")


ROWS: dict[str, tuple[Story, tuple[str, str, str]]] = {
    "no bundle was ever in force": (nothing_ever_came, ON_THE_MACHINE),
    "the bundle says declined": (declined, ON_THE_MACHINE),
    "granted, held": (granted, ALWAYS_THE_GRANT),
    "granted, held after a restart": (granted_and_restarted, ALWAYS_THE_GRANT),
    "granted, expired while held": (granted_then_expired, LOUDLY_LOST),
    "granted, its bundle ended": (granted_then_its_bundle_ended, LOUDLY_LOST),
    "granted, not to be had": (granted_and_not_to_be_had, LOUDLY_LOST),
    "granted, expired on arrival": (granted_and_expired_on_arrival, LOUDLY_LOST),
    "granted, found expired after a restart": (granted_expired_and_found_so_after_a_restart, LOUDLY_LOST),
    "unavailable, held": (unavailable_while_held, ALWAYS_THE_GRANT),
    "unavailable, held after a restart": (unavailable_while_held_and_restarted, ALWAYS_THE_GRANT),
    "unavailable, said twice, held": (unavailable_twice_while_held, ALWAYS_THE_GRANT),
    "unavailable, no longer held": (unavailable_until_expired, LOUDLY_LOST),
    "unavailable, not held after a restart": (unavailable_expired_and_restarted, LOUDLY_LOST),
    "unavailable, and never granted": (unavailable_and_never_granted, LOUDLY_LOST),
    "withdrawn": (withdrawn, ALWAYS_NOTHING),
    "withdrawn, after a restart": (withdrawn_and_restarted, ALWAYS_NOTHING),
    "withdrawn, where the machine's identity was used": (withdrawn_where_the_machines_was_used, ALWAYS_NOTHING),
    "refused content, the grant is held": (refused_content_beside_a_grant, ALWAYS_THE_GRANT),
    "refused content, the grant expired": (refused_content_and_the_grant_expires, ALWAYS_NOTHING),
    "refused content, the grant found expired after a restart": (
        refused_content_and_the_grant_found_expired_after_a_restart,
        ALWAYS_NOTHING,
    ),
    "refused content, unavailable and held": (unavailable_and_refused_content, ALWAYS_THE_GRANT),
}


@pytest.mark.parametrize(("column", "fallback"), enumerate(Fallback), ids=[one.value for one in Fallback])
@pytest.mark.parametrize("row", ROWS)
def test_the_cell(worlds: Callable[..., World], row: str, column: int, fallback: Fallback) -> None:
    story, outcomes = ROWS[row]
    world = worlds(fallback=fallback)
    story(world)
    assert world.key().rstrip("0123456789").rstrip("-") == outcomes[column]


@pytest.mark.parametrize("row", [row for row, (_, outcomes) in ROWS.items() if outcomes == LOUDLY_LOST])
def test_a_grant_is_never_lost_in_silence(worlds: Callable[..., World], row: str) -> None:
    for fallback in Fallback:
        world = worlds(fallback=fallback)
        ROWS[row][0](world)
        assert said("credentials_lost", slot="aws")
        assert world.failure_code()
        assert world.resolver.controllers[Slot.AWS].state.decision.loud


@pytest.mark.parametrize("fallback", [Fallback.ABSENT, Fallback.EXPIRED])
@pytest.mark.parametrize("boot", [False, True], ids=["later", "at boot"])
def test_content_refused_while_the_machines_identity_is_held_keeps_it_and_hands_out_nothing_at_boot(
    worlds: Callable[..., World],
    boot: bool,  # noqa: FBT001  parametrised
    fallback: Fallback,
) -> None:
    world = worlds(fallback=fallback, started=False)
    if boot:
        world.file = b"this is no bundle"
        world.start()
        assert world.key() == NOTHING
        assert world.content() == Empty(may_fall_back=False)
        assert world.cloud.count("aws-machine") == 0
    else:
        world.start()
        held = world.key()
        world.put(b"this is no bundle")
        assert world.key() == held
        world.advance(12 * HOUR)
        assert world.key().startswith(MACHINE)
        assert world.key() != held  # still renewed


def test_refused_content_that_is_removed_is_as_if_it_had_never_been(worlds: Callable[..., World]) -> None:
    world = worlds(started=False)
    world.file = b"this is no bundle"
    world.start()
    world.put(None)
    assert world.key().startswith(MACHINE)


@pytest.mark.parametrize(
    "error",
    [Refused("not-a-file", "it is a fifo"), PermissionRefused("not-readable", "permission denied")],
    ids=["a fifo", "a file that may not be read"],
)
def test_content_that_cannot_be_read_does_not_open_the_way_to_the_machines_identity(
    worlds: Callable[..., World], error: Refused | PermissionRefused
) -> None:
    world = worlds(started=False)
    world.file = error
    world.start()
    assert world.key() == NOTHING
    assert error.code in world.resolver.refusals.present["file"].code


def test_an_expected_bundle_that_did_not_come_closes_every_slot(worlds: Callable[..., World]) -> None:
    world = worlds(bundle_required=True)
    assert [world.content(slot) for slot in (Slot.AWS, Slot.GOOGLE)] == [Empty(may_fall_back=False)] * 2
    assert not world.cloud.calls
    world.put(world.bundle(aws=world.session()))
    assert world.key() == GRANT
    world.advance(HOUR + 1)
    assert world.key() == NOTHING


@pytest.mark.parametrize("fallback", Fallback)
def test_a_granted_slot_is_not_the_machines_while_its_first_attempt_runs(
    worlds: Callable[..., World], fallback: Fallback
) -> None:
    """What may never be handed out in the end is not handed out meanwhile either."""
    world = worlds(fallback=fallback)
    world.cloud.gate = asyncio.Event()
    world.put(world.bundle(aws=role()))
    assert world.key().startswith(MACHINE) == (fallback is Fallback.EXPIRED)
    world.cloud.gate.set()
    world.settle()
    assert world.origin() == "assumed-role"


def test_unavailable_keeps_a_machines_identity_only_until_it_ends(world: World) -> None:
    held = world.key()
    world.put(world.bundle(aws=Statement.UNAVAILABLE))
    assert world.key() == held
    world.advance(6 * HOUR + 1)
    assert world.key() == NOTHING


def test_slots_are_resolved_one_by_one(world: World) -> None:
    """AWS from a bundle, Google from metadata."""
    world.put(world.bundle(aws=world.session(), google=Statement.DECLINED))
    assert (world.origin(), world.origin(Slot.GOOGLE)) == ("bundle", "google-metadata")
