"""What another configuration, or another key, makes of a bundle that is in force: senders, audience, admission."""

import asyncio
from collections.abc import Callable

import pytest

from credagent.admission.recipient_keyring import Keyring
from credagent.bundle.contents import GoogleImpersonationGrant
from credagent.credentials import Empty, Slot, Statement
from credagent.slots.allowed_targets import Targets
from credagent.slots.precedence import Fallback
from credagent.slots.source_fetcher import FetchSettings
from tests.scenario.harness import (
    ALICE,
    ANOTHER_MACHINE,
    BOB,
    CLOSED,
    HOUR,
    MACHINES,
    ONLY_ALICE,
    ONLY_BOB,
    ROLE,
    WITHDRAWN,
    World,
    denied,
    role,
    variables,
)


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
    assert world.resolver.admission.state.withheld is None
    assert not world.resolver.refusals.present


def _listing(world: World, *roles: str) -> None:
    world.bounds = FetchSettings(targets=Targets(assumable_roles=roles))
    world.reload()


def test_a_role_that_is_no_longer_listed_is_taken_back_at_the_reload_and_comes_back_with_the_listing(
    world: World,
) -> None:
    world.put(world.bundle(aws=role()))
    held = world.key()
    _listing(world)
    assert world.content() == WITHDRAWN
    assert world.failure_code() == "role-not-listed"
    world.advance(2 * HOUR)
    assert world.cloud.count("aws-assume-role") > 1  # asked for, and refused before it reaches a cloud
    assert world.content() == WITHDRAWN
    _listing(world, ROLE)
    assert world.origin() == "assumed-role"
    assert world.key() != held


def test_a_role_that_is_no_longer_listed_is_still_taken_back_after_a_restart(world: World) -> None:
    world.put(world.bundle(aws=role()))
    world.stop()
    world.bounds = FetchSettings()
    world.start()
    assert world.content() == WITHDRAWN


def test_a_role_that_is_no_longer_listed_is_replaced_by_the_machines_identity_where_that_is_configured(
    worlds: Callable[..., World],
) -> None:
    world = worlds(fallback=Fallback.EXPIRED)
    world.put(world.bundle(aws=role()))
    _listing(world)
    assert world.origin() == "aws-metadata"


def test_a_role_that_is_unlisted_during_an_attempt_is_not_handed_out_when_the_attempt_succeeds(world: World) -> None:
    world.put(world.bundle(aws=role()))
    world.cloud.gate = asyncio.Event()
    attempt = world.begin_renewal()
    _listing(world)
    world.cloud.gate.set()
    world.settle()
    assert attempt.done()
    assert world.content() == WITHDRAWN


def test_a_role_that_never_was_listed_takes_nothing_from_processes_that_run_by_the_machines_identity(
    world: World,
) -> None:
    _listing(world)
    assert world.origin() == "aws-metadata"
    world.put(world.bundle(aws=role()))
    assert world.content() == CLOSED


def test_an_account_that_is_no_longer_listed_is_taken_back_and_a_forwarded_session_needs_no_list(world: World) -> None:
    account = "reader@project.iam.gserviceaccount.com"
    world.bounds = FetchSettings(targets=Targets(impersonable=("reader@*",)))
    world.reload()
    world.put(world.bundle(aws=role(session=world.session()), google=GoogleImpersonationGrant(target=account)))
    assert world.origin(Slot.GOOGLE) == "impersonation"
    held = world.key()
    _listing(world)
    assert (world.content(Slot.GOOGLE), world.key()) == (WITHDRAWN, held)


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
    assert world.resolver.admission.state.withheld is not None
    assert world.resolver.admission.state.withheld.code == "wrong-audience"
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
    world.keyring = Keyring(openers=(ANOTHER_MACHINE,), machine_keys=(ANOTHER_MACHINE,))
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
    world.resolver.take_up([])
    assert world.key() == "ASIAALICE"


def test_a_cloned_machine_cannot_read_what_was_in_force_and_hands_out_nothing(world: World) -> None:
    world.put(world.bundle(aws=world.session()))
    world.stop()
    world.keyring = Keyring(openers=(ANOTHER_MACHINE,), machine_keys=(ANOTHER_MACHINE,))
    world.start()
    assert world.content() == CLOSED
    assert world.key(Slot.ENVIRONMENT) == ""


def test_a_bundle_that_a_key_service_denies_to_open_is_not_replaced_by_the_machines_identity(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted sender sent it: nothing is handed out in its place, and what was held before stays."""
    monkeypatch.setattr("credagent.bundle.opening.open_by", _away)
    fresh = worlds(started=False)
    fresh.file = fresh.bundle(aws=fresh.session()).encode()
    fresh.start()
    assert fresh.content() == CLOSED
    assert (fresh.resolver.refusals.present["file"].code, bool(fresh.resolver.refusals.present["file"].hint)) == (
        "access-denied",
        True,
    )
    running = worlds()
    held = running.key()
    running.put(running.bundle(aws=running.session()))
    assert running.key() == held
    assert running.push(running.bundle(aws=running.session())) == "access-denied"
    monkeypatch.undo()
    fresh.put(fresh.file)
    assert fresh.key() == "ASIAALICE"


def _away(*_: object) -> None:
    raise denied()
