"""The store replaces whole sets, and says so only where something is different."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from credagent.credentials import AwsCredentials, CredentialSet, Empty, Held, Origin, Slot, SlotContent, Variables
from credagent.secret import Secret
from credagent.slots.credential_store import CredentialStore, digest_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELD = Held(
    credentials=AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t")),
    origin=Origin.BUNDLE,
    obtained_at=NOW,
)


def listened(store: CredentialStore) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    store.listen(lambda old, new: told.append((old.generation, new.generation)))
    return told


def test_a_new_content_is_a_new_generation_and_told_with_the_old_one() -> None:
    store = CredentialStore(generation=6)
    told = listened(store)
    assert store.publish({Slot.AWS: HELD})
    assert store.current == CredentialSet(generation=7, aws=HELD)
    assert told == [(6, 7)]


def test_the_same_content_is_nothing_new_and_the_end_of_the_pass_is_told() -> None:
    store = CredentialStore()
    store.publish({Slot.AWS: HELD})
    told = listened(store)
    assert not store.publish({Slot.AWS: HELD, Slot.GOOGLE: Empty()})
    assert not store.publish({Slot.AWS: replace(HELD, obtained_at=NOW + timedelta(hours=1))})
    assert (told, store.current.generation) == ([(1, 1), (1, 1)], 1)


def test_another_end_principal_or_emptiness_is_something_new() -> None:
    store = CredentialStore()
    store.publish({Slot.AWS: HELD})
    contents: list[SlotContent] = [
        replace(HELD, expires_at=NOW),
        replace(HELD, principal="arn:x"),
        Empty(),
        Empty(withdrawn=True),
    ]
    assert [store.publish({Slot.AWS: content}) for content in contents] == [True] * 4


def test_several_slots_change_under_one_generation() -> None:
    store = CredentialStore()
    told = listened(store)
    store.publish({Slot.AWS: HELD, Slot.GOOGLE: Empty(may_fall_back=False)})
    assert told == [(0, 1)]


def test_whoever_has_stopped_listening_is_told_nothing() -> None:
    store = CredentialStore()
    told: list[int] = []
    stop = store.listen(lambda _, new: told.append(new.generation))
    stop()
    store.publish({Slot.AWS: HELD})
    assert told == []


def test_a_listener_may_stop_while_it_is_told() -> None:
    store = CredentialStore()
    told: list[str] = []

    def once(*_: object) -> None:
        told.append("first")
        stop()

    stop = store.listen(once)
    store.listen(lambda *_: told.append("second"))
    store.publish({Slot.AWS: HELD})
    assert told == ["first", "second"]


def test_what_an_earlier_agent_handed_out_keeps_its_generation() -> None:
    digest = digest_of(CredentialSet(generation=7, aws=HELD))
    store = CredentialStore(7, digest)
    store.publish({Slot.AWS: replace(HELD, obtained_at=NOW + timedelta(hours=1))})
    assert store.current.generation == 7
    store.publish({Slot.AWS: Empty()})
    store.publish({Slot.AWS: HELD})
    assert store.current.generation == 9  # only the first of a start may be what was there before


def test_anything_else_than_an_earlier_agent_handed_out_is_a_new_generation() -> None:
    store = CredentialStore(7, digest_of(CredentialSet(generation=7, aws=HELD)))
    store.publish({Slot.AWS: replace(HELD, credentials=replace(HELD.credentials, secret_access_key=Secret("u")))})
    assert store.current.generation == 8


def test_a_digest_is_the_same_for_the_same_variables_in_any_order() -> None:
    def digest(*names: str) -> str:
        variables = Variables(values={name: Secret("v") for name in names})
        held = Held(credentials=variables, origin=Origin.BUNDLE, obtained_at=NOW)
        return digest_of(CredentialSet(generation=1, environment=held))

    assert digest("A", "B") == digest("B", "A") != digest("A", "C")
