"""What arriving bundles do to slots: late, newer, by two senders, refused, pushed, kept."""

from collections.abc import Callable

import pytest

from credagent.bundle.fingerprint import fingerprint
from credagent.credentials import Empty, Held, Slot, Statement
from credagent.metric_counters import REFUSED_BUNDLES
from tests.scenario.harness import (
    ALICE,
    ANOTHER_MACHINE,
    BOB,
    HOUR,
    MACHINES,
    WITHDRAWN,
    World,
    denied,
    said,
    variables,
)


def test_a_bundle_that_arrives_after_metadata_was_handed_out_takes_over_at_once(world: World) -> None:
    assert world.key() == MACHINES
    world.put(world.bundle(aws=world.session("ASIAALICE")))
    assert (world.key(), world.origin()) == ("ASIAALICE", "bundle")
    assert said("origin_changed", slot="aws", before="aws-metadata", origin="bundle")
    calls = world.cloud.count("aws-machine")
    world.advance(HOUR / 2)
    assert world.cloud.count("aws-machine") == calls  # nothing is fetched that is not handed out


def test_a_newer_bundle_without_the_grant_gives_the_slot_back_to_the_machine(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.put(world.bundle(aws=Statement.DECLINED))
    assert world.origin() == "aws-metadata"


def test_a_declined_slot_keeps_what_it_has_until_the_machines_identity_is_there(worlds: Callable[..., World]) -> None:
    """A change of source is no gap, and what was held ends when the first attempt has failed."""
    world = worlds()
    world.put(world.bundle(aws=world.session()))
    world.cloud.failing["aws-machine"] = denied()
    world.put(world.bundle())
    assert world.content() == Empty(may_fall_back=True)
    assert world.failure_code() == "access-denied"


def test_a_newer_session_replaces_the_older_under_one_generation(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAONE"), environment=variables(TOKEN="one")))
    before = world.generation
    world.put(world.bundle(aws=world.session("ASIATWO"), environment=variables(TOKEN="two")))
    assert world.generation == before + 1
    assert (world.key(), world.key(Slot.ENVIRONMENT)) == ("ASIATWO", "TOKEN=two")


def test_no_set_ever_mixes_two_bundles(world: World) -> None:
    for name in ("one", "two", "three"):
        world.put(world.bundle(aws=world.session(name), environment=variables(TOKEN=name)))
    together = [one for one in world.sets if isinstance(one.environment, Held)]
    pairs = {(_name(one.aws), _token(one.environment)) for one in together}
    assert pairs == {("one", "one"), ("two", "two"), ("three", "three")}


def test_the_same_bundle_again_changes_nothing(world: World) -> None:
    text = world.bundle(aws=world.session())
    world.put(text)
    before = world.generation
    assert world.put(text) is None
    assert world.push(text) == "again"
    assert world.generation == before


def test_of_two_trusted_senders_the_later_bundle_wins_and_the_change_is_said(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAALICE"), sender=ALICE))
    world.advance(1)
    world.put(world.bundle(aws=world.session("ASIABOB"), sender=BOB))
    assert world.key() == "ASIABOB"
    before, now = fingerprint(ALICE.key_id), fingerprint(BOB.key_id)
    assert said("sender_in_force_changed", before=before, now=now)


def test_the_earlier_bundle_of_another_trusted_sender_is_superseded_and_changes_nothing(world: World) -> None:
    earlier = world.bundle(aws=world.session("ASIAALICE"), sender=ALICE)
    world.advance(1)
    world.put(world.bundle(aws=world.session("ASIABOB"), sender=BOB))
    before = world.generation
    error = world.put(earlier)
    assert error is not None
    assert error.code == "superseded"
    assert (world.key(), world.generation) == ("ASIABOB", before)
    assert not world.resolver.refusals.present  # old content says nothing against anybody


def test_an_older_bundle_of_the_same_sender_is_replayed_and_changes_not_even_readiness(world: World) -> None:
    old = world.bundle(aws=world.session("ASIAOLD"))
    world.advance(1)
    world.push(world.bundle(aws=world.session("ASIANEW")))
    error = world.put(old)
    assert error is not None
    assert error.code == "replayed"
    assert world.key() == "ASIANEW"
    assert not world.resolver.refusals.present


def test_old_content_in_the_place_of_refused_content_ends_the_refusal(world: World) -> None:
    old = world.bundle(aws=world.session("ASIAOLD"))
    world.advance(1)
    world.push(world.bundle())
    world.put(b"this is no bundle")
    assert world.resolver.refusals.present
    world.put(old)
    assert not world.resolver.refusals.present


def test_a_refused_push_is_counted_and_changes_nothing(world: World) -> None:
    world.push(world.bundle(aws=world.session()))
    before = (world.resolver.store.current, world.disk.kept)
    for _ in range(2):
        assert world.push("credagent1:nonsense") in ("malformed", "not-an-envelope")
    assert world.push(world.bundle(aws=world.session("ASIAX"), recipient=ANOTHER_MACHINE)) == "not-for-this-machine"
    assert world.push(world.bundle(aws=world.session("ASIAX"), audience="another-lab")) == "wrong-audience"
    assert (world.resolver.store.current, world.disk.kept) == before
    assert not world.resolver.refusals.present
    assert sum(world.resolver.counters.of(REFUSED_BUNDLES).values()) == 4
    assert len(world.resolver.refusals.recent) == 4


def test_marks_survive_a_restart_so_that_no_old_bundle_is_fed_again(world: World) -> None:
    old = world.bundle(aws=world.session("ASIAOLD"))
    world.advance(1)
    world.put(world.bundle(aws=Statement.WITHDRAWN))
    world.file = None
    world.restart()
    assert world.push(old) == "replayed"
    assert world.content() == WITHDRAWN


def test_a_full_disk_leaves_what_was_held_and_the_bundle_is_taken_when_there_is_room(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAONE")))
    world.disk.full = True
    two = world.bundle(aws=world.session("ASIATWO"))
    error = world.put(two)
    assert error is not None
    assert (error.code, error.hint) == ("cannot-write", "free some space")
    assert world.key() == "ASIAONE"
    assert [refusal.code for refusal in world.resolver.refusals.recent] == ["cannot-write"]
    world.disk.full = False
    assert world.put(two) is None
    assert world.key() == "ASIATWO"
    assert not world.resolver.refusals.present


def test_a_full_disk_at_the_first_bundle_keeps_the_machines_identity_it_has(world: World) -> None:
    world.disk.full = True
    world.put(world.bundle(aws=world.session()))
    assert world.key() == MACHINES
    assert world.resolver.admission.state.in_force is None


def test_a_full_disk_at_the_first_start_closes_the_slot_that_a_bundle_would_have_filled(
    worlds: Callable[..., World],
) -> None:
    world = worlds(started=False)
    world.disk.full = True
    world.file = world.bundle(aws=world.session()).encode()
    world.start()
    assert world.content() == Empty(may_fall_back=False)
    world.disk.full = False
    world.put(world.file)
    assert world.key() == "ASIAALICE"


def test_a_push_onto_a_full_disk_is_answered_with_the_reason(world: World) -> None:
    world.disk.full = True
    assert world.push(world.bundle(aws=world.session())) == "cannot-write"
    assert world.key() == MACHINES


def test_content_that_vanishes_changes_nothing(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    before = world.resolver.store.current
    world.put(None)
    assert world.resolver.store.current is before


def test_an_empty_file_is_refused_and_what_was_held_is_still_held(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    error = world.put(b"")
    assert error is not None
    assert error.code == "empty"
    assert world.key() == "ASIAALICE"


def test_a_bundle_for_others_is_absent_on_a_shared_channel_and_refused_elsewhere(world: World) -> None:
    for_others = world.bundle(aws=world.session(), recipient=ANOTHER_MACHINE)
    world.shared = True
    world.put(for_others)
    assert not world.resolver.refusals.present
    world.shared = False
    world.put(for_others)
    assert world.resolver.refusals.present["file"].code == "not-for-this-machine"
    world.shared = True
    world.put(for_others)
    assert not world.resolver.refusals.present


def test_refused_content_is_said_once_however_often_it_is_looked_at(world: World) -> None:
    for _ in range(5):
        world.put(b"this is no bundle")
    assert len(said("bundle_refused")) == len(world.resolver.refusals.recent) == 1


def test_content_that_was_refused_leaves_no_trace_once_a_sound_bundle_came(world: World) -> None:
    world.put(b"this is no bundle")
    world.put(world.bundle(aws=world.session()))
    assert not world.resolver.refusals.present
    world.put(b"this is no bundle")
    assert len(said("bundle_refused")) == 2  # it is news again


def _name(content: object) -> str:
    return content.credentials.access_key_id if isinstance(content, Held) else ""  # type: ignore[union-attr]  # the slot is known


def _token(content: object) -> str:
    return content.credentials.values["TOKEN"].reveal() if isinstance(content, Held) else ""  # type: ignore[union-attr]  # the slot is known


def test_a_withdrawal_onto_a_full_disk_is_in_force_at_once_and_kept_when_there_is_room(world: World) -> None:
    world.push(world.bundle(aws=world.session()))
    world.disk.full = True
    assert world.push(world.bundle(aws=Statement.WITHDRAWN)) == "new"
    assert world.content() == WITHDRAWN
    admission = world.resolver.admission
    admission.save_again()
    assert [one.code for one in (admission.unsaved,) if one is not None] == ["cannot-write"]
    assert said("withdrawal_not_kept", code="cannot-write")
    world.disk.full = False
    admission.save_again()
    assert not admission.unsaved
    world.restart()
    assert world.content() == WITHDRAWN


def test_a_bundle_after_a_withdrawal_that_was_not_kept_is_kept_alone(world: World) -> None:
    world.disk.full = True
    world.push(world.bundle(aws=Statement.WITHDRAWN))
    assert world.push(world.bundle(aws=world.session())) == "cannot-write"
    assert world.content() == WITHDRAWN
    world.disk.full = False
    assert world.push(world.bundle(aws=world.session())) == "new"
    assert world.resolver.admission.unsaved is None
    world.restart()
    assert world.key() == "ASIAALICE"


@pytest.mark.parametrize("code", ["expired", "too-old", "from-the-future"])
def test_what_a_wrong_clock_refuses_is_said_once_and_taken_when_the_clock_is_right(world: World, code: str) -> None:
    """It is looked at again every half minute, and each time it is older."""
    text = world.bundle(aws=world.session(lasts_s=100 * HOUR), lasts_s=30 * HOUR)
    step = {"expired": 40 * HOUR, "too-old": 25 * HOUR, "from-the-future": -HOUR}[code]
    world.step_clock(step)
    for _ in range(3):
        error = world.put(text)
        assert error is not None
        assert error.code == code
        world.advance(1800 if step > 0 else 60)
    assert len(said("bundle_refused", code=code)) == 1
    assert len(world.resolver.refusals.recent) == 1
    world.step_clock(-step)
    world.advance(1)
    assert world.put(text) is None
    assert world.key() == "ASIAALICE"
