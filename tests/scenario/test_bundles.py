"""What arriving bundles do to slots: late, newer, by two senders, by one who is removed, refused, pushed, kept."""

from collections.abc import Callable

import pytest

from credagent.channels.keyring import Keyring
from credagent.credentials import Empty, Held, Slot, Statement
from credagent.operations.metrics import REFUSED_BUNDLES
from credagent.rules.precedence import Fallback
from tests.scenario.harness import (
    ALICE,
    ANOTHER_MACHINE,
    BOB,
    HOUR,
    World,
    denied,
    role,
    said,
    variables,
)

MACHINES = "aws-machine-1"
CLOSED = Empty(may_fall_back=False)
WITHDRAWN = Empty(may_fall_back=False, withdrawn=True)
ONLY_ALICE = frozenset({ALICE.public_key.raw})
ONLY_BOB = frozenset({BOB.public_key.raw})


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
    assert said("sender_in_force_changed", before=ALICE.key_id, now=BOB.key_id)


def test_the_earlier_bundle_of_another_trusted_sender_is_superseded_and_changes_nothing(world: World) -> None:
    earlier = world.bundle(aws=world.session("ASIAALICE"), sender=ALICE)
    world.advance(1)
    world.put(world.bundle(aws=world.session("ASIABOB"), sender=BOB))
    before = world.generation
    error = world.put(earlier)
    assert error is not None
    assert error.code == "superseded"
    assert (world.key(), world.generation) == ("ASIABOB", before)
    assert not world.custody.refused_now  # old content says nothing against anybody


def test_an_older_bundle_of_the_same_sender_is_replayed_and_changes_not_even_readiness(world: World) -> None:
    old = world.bundle(aws=world.session("ASIAOLD"))
    world.advance(1)
    world.push(world.bundle(aws=world.session("ASIANEW")))
    error = world.put(old)
    assert error is not None
    assert error.code == "replayed"
    assert world.key() == "ASIANEW"
    assert not world.custody.refused_now


def test_old_content_in_the_place_of_refused_content_ends_the_refusal(world: World) -> None:
    old = world.bundle(aws=world.session("ASIAOLD"))
    world.advance(1)
    world.push(world.bundle())
    world.put(b"this is no bundle")
    assert world.custody.refused_now
    world.put(old)
    assert not world.custody.refused_now


def test_a_removed_senders_slots_are_withdrawn_at_once_and_never_renewed(world: World) -> None:
    text = world.bundle(aws=role(), environment=variables(TOKEN="alice"))
    world.put(text)
    assert world.origin() == "assumed-role"
    calls = len(world.cloud.calls)
    world.reload(trusted_senders=ONLY_BOB)
    assert world.content() == WITHDRAWN
    assert world.content(Slot.ENVIRONMENT) == Empty(withdrawn=True)
    world.advance(2 * HOUR)
    assert world.cloud.count("aws-assume-role") == 1
    assert len(world.cloud.calls) > calls  # Google, which it had declined, goes on by the machine's identity
    assert world.origin(Slot.GOOGLE) == "google-metadata"


def test_a_removed_sender_is_still_withdrawn_after_a_restart(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.file = None
    world.reload(trusted_senders=ONLY_BOB)
    world.restart()
    assert world.content() == WITHDRAWN
    assert world.origin(Slot.GOOGLE) == "google-metadata"


def test_a_removed_sender_that_is_added_again_has_its_bundle_in_force_again(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.reload(trusted_senders=ONLY_BOB)
    world.reload(trusted_senders=ONLY_ALICE)
    assert world.key() == "ASIAALICE"
    assert world.custody.intake.withheld is None
    assert not world.custody.refused_now


def test_another_senders_bundle_ends_what_a_removed_sender_had_granted(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAALICE"), sender=ALICE))
    late = world.bundle(aws=world.session("ASIABOB"), sender=BOB, issued_ago_s=5)
    world.reload(trusted_senders=ONLY_BOB)
    world.put(late)  # made before the bundle in force was: that one is nobody's rival any more
    assert world.key() == "ASIABOB"


def test_the_earlier_grant_behind_an_unavailable_slot_ends_with_its_sender(world: World) -> None:
    world.put(world.bundle(aws=world.session("ASIAALICE"), sender=ALICE))
    world.advance(1)
    world.put(world.bundle(aws=Statement.UNAVAILABLE, environment=variables(TOKEN="bob"), sender=BOB))
    assert world.key() == "ASIAALICE"
    world.reload(trusted_senders=ONLY_BOB)
    assert world.content() == WITHDRAWN
    assert world.key(Slot.ENVIRONMENT) == "TOKEN=bob"


@pytest.mark.parametrize("fallback", [Fallback.ABSENT, Fallback.NEVER])
def test_another_audience_at_reload_closes_what_was_granted(worlds: Callable[..., World], fallback: Fallback) -> None:
    """A machine that was given to another cluster hands out nothing that was meant for the first one."""
    world = worlds(fallback=fallback)
    world.put(world.bundle(aws=role()))
    world.reload(audience="another-lab")
    assert world.content() == CLOSED
    assert world.custody.intake.withheld is not None
    assert world.custody.intake.withheld.code == "wrong-audience"
    assert world.failure_code()
    world.advance(HOUR)
    assert world.cloud.count("aws-assume-role") == 1
    world.reload(audience="lab")
    assert world.origin() == "assumed-role"


def test_another_audience_at_reload_leaves_a_declined_slot_to_the_machine(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.file = None
    held = world.key(Slot.GOOGLE)
    world.reload(audience="another-lab")
    assert world.key(Slot.GOOGLE) == held
    world.advance(2 * HOUR)
    assert world.origin(Slot.GOOGLE) == "google-metadata"


def test_a_recipient_key_that_is_taken_away_opens_nothing_any_more(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.keyring = Keyring(openers=(ANOTHER_MACHINE,), own=ANOTHER_MACHINE)
    world.reload()
    assert world.content() == CLOSED


def test_a_reload_opens_nothing_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a key service holds the key, a reload must not wait for it, nor lose what is held while it is away."""
    world.put(world.bundle(aws=world.session()))
    monkeypatch.setattr("credagent.bundle.opening.open_by", _away)
    world.reload()
    assert world.key() == "ASIAALICE"


def test_a_long_term_key_is_refused_unless_the_configuration_admits_it_by_name(world: World) -> None:
    text = world.bundle(aws=world.long_term_key(), lasts_s=12 * HOUR)
    assert world.push(text) == "long-term-key"
    assert world.key() == MACHINES
    world.reload(admit_long_term=True)
    assert world.push(text) == "new"
    assert world.key() == "AKIAALICE"
    world.advance(11 * HOUR)
    assert world.key() == "AKIAALICE"
    world.advance(HOUR + 1)
    assert world.key() == ""  # not_after bounds what has no end of its own
    assert world.failure_code() == "not-after"


def test_an_admitted_long_term_key_is_closed_when_the_configuration_no_longer_admits_it(world: World) -> None:
    world.reload(admit_long_term=True)
    world.push(world.bundle(aws=world.long_term_key()))
    world.reload(admit_long_term=False)
    assert world.content() == CLOSED


def test_a_refused_push_is_counted_and_changes_nothing(world: World) -> None:
    world.push(world.bundle(aws=world.session()))
    before = (world.custody.store.current, world.disk.kept)
    for _ in range(2):
        assert world.push("credagent1:nonsense") in ("malformed", "not-an-envelope")
    assert world.push(world.bundle(aws=world.session("ASIAX"), recipient=ANOTHER_MACHINE)) == "not-for-this-machine"
    assert world.push(world.bundle(aws=world.session("ASIAX"), audience="another-lab")) == "wrong-audience"
    assert (world.custody.store.current, world.disk.kept) == before
    assert not world.custody.refused_now
    assert sum(world.custody.counters.of(REFUSED_BUNDLES).values()) == 4
    assert len(world.custody.refusals) == 4


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
    assert [refusal.code for refusal in world.custody.refusals] == ["cannot-write"]
    world.disk.full = False
    assert world.put(two) is None
    assert world.key() == "ASIATWO"
    assert not world.custody.refused_now


def test_a_full_disk_at_the_first_bundle_keeps_the_machines_identity_it_has(world: World) -> None:
    world.disk.full = True
    world.put(world.bundle(aws=world.session()))
    assert world.key() == MACHINES
    assert world.custody.intake.in_force is None


def test_a_push_onto_a_full_disk_is_answered_with_the_reason(world: World) -> None:
    world.disk.full = True
    assert world.push(world.bundle(aws=world.session())) == "cannot-write"
    assert world.key() == MACHINES


def test_content_that_vanishes_changes_nothing(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    before = world.custody.store.current
    world.put(None)
    assert world.custody.store.current is before


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
    assert not world.custody.refused_now
    world.shared = False
    world.put(for_others)
    assert world.custody.refused_now["file"].code == "not-for-this-machine"
    world.shared = True
    world.put(for_others)
    assert not world.custody.refused_now


def test_refused_content_is_said_once_however_often_it_is_looked_at(world: World) -> None:
    for _ in range(5):
        world.put(b"this is no bundle")
    assert len(said("bundle_refused")) == len(world.custody.refusals) == 1


def test_content_that_was_refused_leaves_no_trace_once_a_sound_bundle_came(world: World) -> None:
    world.put(b"this is no bundle")
    world.put(world.bundle(aws=world.session()))
    assert not world.custody.refused_now
    world.put(b"this is no bundle")
    assert len(said("bundle_refused")) == 2  # it is news again


def test_a_bundle_in_force_that_a_key_service_cannot_open_at_the_start_closes_its_slots(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's identity is not what the sender meant, however long the key service is away."""
    world.put(world.bundle(aws=world.session()))
    world.file = None
    world.stop()
    monkeypatch.setattr("credagent.bundle.opening.open_by", _away)
    world.start()
    assert world.content() == CLOSED
    monkeypatch.undo()
    world.custody.intake.restore()
    world.custody.instruct()
    assert world.key() == "ASIAALICE"


def test_a_cloned_machine_cannot_read_what_was_in_force_and_hands_out_nothing(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.stop()
    world.keyring = Keyring(openers=(ANOTHER_MACHINE,), own=ANOTHER_MACHINE)
    world.start()
    assert world.content() == CLOSED
    assert world.key(Slot.ENVIRONMENT) == ""


def _away(*_: object) -> None:
    raise denied()


def _name(content: object) -> str:
    return content.credentials.access_key_id if isinstance(content, Held) else ""  # type: ignore[union-attr]


def _token(content: object) -> str:
    return content.credentials.values["TOKEN"].reveal() if isinstance(content, Held) else ""  # type: ignore[union-attr]
