"""Defects of ours that content or a cloud's answer brings to light: told by their class, and the agent goes on."""

from collections.abc import Callable

import pytest

from credagent import log
from credagent.bundle import opening
from credagent.credentials import Empty, Held, Slot
from credagent.slots.source_state import Source
from tests.scenario.harness import HOUR, World, role, said

Worlds = Callable[..., World]


def breaks(canary: str) -> Callable[[object], object]:
    def broken(_: object) -> object:
        raise RecursionError(canary)

    return broken


def test_content_that_a_defect_fails_on_is_refused_like_other_content(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch, canary: str
) -> None:
    """It stays in the inbox: raised, it would end the agent at each start."""
    world = worlds(started=False)
    world.file = world.bundle(aws=world.session()).encode()
    monkeypatch.setattr(opening, "decode", breaks(canary))
    world.start()
    assert world.content() == Empty(may_fall_back=False)
    assert [refusal.code for refusal in world.resolver.refusals.present.values()] == ["internal"]
    assert said("bundle_refused", code="internal", why="judging it failed (RecursionError)")
    assert canary not in repr(log._waiting)
    world.reload()
    assert world.content() == Empty(may_fall_back=False)
    monkeypatch.undo()
    world.put(world.file)
    assert world.key() == "ASIAALICE"


def test_a_push_that_a_defect_fails_on_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "decode", breaks("x"))
    assert world.push(world.bundle(aws=world.session())) == "internal"
    assert world.origin() == "aws-metadata"


def test_what_is_kept_and_fails_on_a_newer_version_of_ours_closes_its_slots(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push(world.bundle(aws=world.session()))
    monkeypatch.setattr(opening, "decode", breaks("x"))
    world.restart()
    assert world.content() == Empty(may_fall_back=False)
    assert world.resolver.admission.state.withheld is not None
    assert world.resolver.admission.state.withheld.code == "internal"
    assert world.origin(Slot.GOOGLE) == "none"


@pytest.mark.parametrize("slot", [Slot.AWS, Slot.GOOGLE])
def test_an_answer_that_a_defect_fails_on_is_a_failure_and_tried_again(worlds: Worlds, slot: Slot, canary: str) -> None:
    broken = [slot]

    def fetch(world: World) -> object:
        async def fetched(source: Source) -> Held:
            if getattr(source, "slot", None) in broken:
                raise OverflowError(canary)
            return await world.cloud(source)

        return fetched

    world = worlds(fetch=fetch)
    assert (world.origin(slot), world.failure_code(slot)) == ("none", "internal")
    assert world.origin(Slot.GOOGLE if slot is Slot.AWS else Slot.AWS) != "none"
    assert canary not in repr(log._waiting)
    broken.clear()
    world.advance(10)
    assert (world.origin(slot), world.failure_code(slot)) != ("none", "internal")
    assert world.origin(slot).endswith("-metadata")


def test_a_defect_while_a_role_is_renewed_changes_nothing(worlds: Worlds) -> None:
    broken: list[bool] = []

    def fetch(world: World) -> object:
        async def fetched(source: Source) -> Held:
            if broken:
                raise ZeroDivisionError
            return await world.cloud(source)

        return fetched

    world = worlds(fetch=fetch)
    world.put(world.bundle(aws=role()))
    held = world.key()
    broken.append(True)
    assert world.renew() == "failed: internal"
    world.advance(HOUR / 2)
    assert world.key() == held
