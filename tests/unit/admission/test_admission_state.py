"""The steps of admission as values: what a step that raises leaves, and what became of each kept text."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from credagent.admission.admission_state import AdmissionSettings, AdmissionState, Admitted, Withheld, admit, readmit
from credagent.admission.deferred_opening import NOT_OPENED_YET, ask
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy, Standing
from credagent.admission.state_file import SavedState
from credagent.credentials import Slot, Statement
from credagent.errors import CredagentError, Refused, Unavailable
from tests.scenario.harness import ALICE, ANOTHER_MACHINE, AUDIENCE, BOB, MACHINE, START, World
from tests.scenario.key_service import KeyService

TRUSTED = frozenset({ALICE.public_key.raw, BOB.public_key.raw})
HERE = AdmissionSettings(
    policy=AdmissionPolicy(audience=AUDIENCE, trusted_senders=TRUSTED),
    keyring=Keyring(openers=(MACHINE,), machine_keys=(MACHINE,)),
)
NOTHING = AdmissionState(saved=SavedState())
NOW = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


@pytest.fixture
def sender() -> World:
    """Return what seals bundles; its machine is never started."""
    return World(start=START)


def by(*openers: KeyService, trusted: frozenset[bytes] = TRUSTED) -> AdmissionSettings:
    return AdmissionSettings(
        policy=structs.replace(HERE.policy, trusted_senders=trusted), keyring=Keyring(openers=openers)
    )


def admitted(state: AdmissionState, text: str, settings: AdmissionSettings = HERE) -> AdmissionState:
    after, standing = admit(state, text, "file", settings, now=NOW)
    assert standing is Standing.NEW
    return after


def code_of(state: AdmissionState, text: str, settings: AdmissionSettings = HERE) -> str:
    with pytest.raises(CredagentError) as raised:
        admit(state, text, "file", settings, now=NOW)
    return raised.value.code


def test_a_bundle_and_its_mark_come_into_force_as_one_state(sender: World) -> None:
    text = sender.bundle(aws=sender.session())
    state = admitted(NOTHING, text)
    assert isinstance(state.current, Admitted)
    assert (state.saved.bundle, state.saved.channel) == (text, "file")
    assert state.saved.marks == {ALICE.key_id: state.current.result.mark}
    assert (state.statement(Slot.AWS), state.statement(Slot.GOOGLE)) == (Statement.GRANTED, Statement.DECLINED)
    assert AdmissionState(saved=SavedState()) == NOTHING  # a step changes no state


def test_the_same_bundle_again_is_the_same_state(sender: World) -> None:
    text = sender.bundle(aws=sender.session())
    state = admitted(NOTHING, text)
    assert admit(state, text.encode() + b"\n", "socket", HERE, now=NOW) == (state, Standing.AGAIN)


def test_what_is_refused_is_raised_and_there_is_no_other_state(sender: World) -> None:
    assert code_of(NOTHING, "nonsense") == "not-an-envelope"
    assert code_of(NOTHING, sender.bundle(recipient=ANOTHER_MACHINE)) == "not-for-this-machine"
    assert code_of(NOTHING, sender.bundle(audience="another")) == "wrong-audience"


def test_readmitting_changes_nothing_where_nothing_has_changed(sender: World) -> None:
    state = admitted(admitted(NOTHING, sender.bundle(aws=sender.session())), sender.bundle(aws=Statement.UNAVAILABLE))
    assert isinstance(state.earlier[Slot.AWS], Admitted)
    assert readmit(state, HERE) == state
    assert readmit(AdmissionState(saved=state.saved), HERE) == state  # a restart


@pytest.mark.parametrize("said", [Statement.GRANTED, Statement.DECLINED, Statement.WITHDRAWN])
def test_a_removed_sender_withdraws_what_it_did_not_decline(sender: World, said: Statement) -> None:
    state = admitted(NOTHING, sender.bundle(aws=sender.session() if said is Statement.GRANTED else said))
    policy = structs.replace(HERE.policy, trusted_senders=frozenset())
    after = readmit(state, structs.replace(HERE, policy=policy))
    assert isinstance(after.current, Withheld)
    assert after.current.sender_removed
    assert after.statement(Slot.AWS) is (said if said is Statement.DECLINED else Statement.WITHDRAWN)
    assert readmit(after, HERE) == state  # trusted again


def test_what_a_key_service_opens_is_pending_then_unavailable_then_admitted(sender: World) -> None:
    service = KeyService()
    settings, text = by(service), sender.bundle(aws=sender.session(), recipients=[service])
    assert code_of(NOTHING, text, settings) == NOT_OPENED_YET
    assert service.asked == 0
    state, _ = admit(NOTHING, text, "file", settings, now=NOW, outcome=ask(text, settings.keyring))
    restarted = readmit(AdmissionState(saved=state.saved), settings)
    assert (restarted.statement(Slot.AWS), restarted.awaits(Slot.AWS)) == (None, True)
    assert restarted.unopened == (text,)
    service.away = True
    in_vain = readmit(restarted, settings, {text: ask(text, settings.keyring)})
    assert (in_vain.statement(Slot.AWS), in_vain.awaits(Slot.AWS)) == (Statement.UNAVAILABLE, False)
    assert in_vain.unopened == (text,)
    assert isinstance(in_vain.withheld, Unavailable)
    service.away = False
    assert readmit(in_vain, settings, {text: ask(text, settings.keyring)}) == state


def test_a_kept_bundle_that_is_not_open_still_has_to_be_outdone(sender: World) -> None:
    service = KeyService()
    settings, text = by(service), sender.bundle(aws=sender.session(), recipients=[service])
    state, _ = admit(NOTHING, text, "file", settings, now=NOW, outcome=ask(text, settings.keyring))
    waiting = readmit(AdmissionState(saved=state.saved), settings)
    older = sender.bundle(aws=sender.session(), sender=BOB, recipients=[service], issued_ago_s=60)
    with pytest.raises(Refused) as refused:
        admit(waiting, older, "file", settings, now=NOW)
    assert refused.value.code == "superseded"
