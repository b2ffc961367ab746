"""Senders that are trusted by identity: asked once, remembered for a while, and trusted only while they are listed."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import json, structs

from credagent.admission import attested_senders
from credagent.admission.admission_state import AdmissionSettings, AdmissionState, admit, readmit
from credagent.admission.attested_senders import NOT_ATTESTED_YET, noted
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy, Standing
from credagent.admission.state_file import SavedState
from credagent.attestation.identity import AwsIdentity, GoogleIdentity
from credagent.attestation.identity_pattern import is_trusted, pattern_of
from credagent.bundle import envelope as grammar
from credagent.cloud_helper.job_responses import AttestationOutcome
from credagent.config.sections import BundleSection
from credagent.credentials import Slot, Statement
from credagent.errors import CredagentError, Refused, Unavailable
from tests.scenario.harness import ALICE, AUDIENCE, MACHINE, START, World

NOW = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
ROLE = "arn:aws:sts::123456789012:assumed-role/data-science"
ANA = AwsIdentity(partition="aws", account="123456789012", arn=f"{ROLE}/ana", role="data-science", session="ana")
ATTESTATION = "credagent-attestation:1:aws:whatever"
KEYS = Keyring(openers=(MACHINE,), machine_keys=(MACHINE,))
NOTHING = AdmissionState(saved=SavedState())


def trusting(*identities: str) -> AdmissionSettings:
    return AdmissionSettings(
        policy=AdmissionPolicy(audience=AUDIENCE, trusted_identities=identities, identity_max_age=timedelta(hours=1)),
        keyring=KEYS,
    )


SCIENCE = trusting(f"{ROLE}/*")


@pytest.fixture
def text() -> str:
    sender = World(start=START)
    return sender.bundle(aws=sender.session())


def told(state: AdmissionState, text: str, by: AdmissionSettings = SCIENCE, now: datetime = NOW) -> AdmissionState:
    """What is remembered once the sender's cloud was asked."""
    header = grammar.parse(text).header
    senders = noted(state.saved.senders, header, AttestationOutcome(identity=ANA), by.policy, now)
    return structs.replace(state, saved=structs.replace(state.saved, senders=senders))


def code(state: AdmissionState, content: str, by: AdmissionSettings = SCIENCE, now: datetime = NOW) -> str:
    with pytest.raises(CredagentError) as raised:
        admit(state, content, "socket", by, now=now)
    return raised.value.code


def test_a_sender_is_asked_about_only_where_its_bundle_says_so_and_identities_are_trusted(text: str) -> None:
    assert code(NOTHING, text) == "untrusted-sender"
    assert code(NOTHING, f"{text}\n{ATTESTATION}") == NOT_ATTESTED_YET
    assert code(NOTHING, f"{text}\n{ATTESTATION}", trusting()) == "untrusted-sender"


def test_what_was_said_of_a_key_admits_its_bundles_and_is_kept_over_a_restart(text: str) -> None:
    after, standing = admit(told(NOTHING, text), f"{text}\n{ATTESTATION}", "socket", SCIENCE, now=NOW)
    assert standing is Standing.NEW
    assert after.saved.bundle == text  # the envelope alone
    restarted = AdmissionState(saved=json.decode(json.encode(after.saved), type=SavedState))
    assert readmit(restarted, SCIENCE).in_force is not None


def test_a_person_whose_role_is_not_listed_any_more_is_refused_at_once_with_what_was_in_force(text: str) -> None:
    after, _ = admit(told(NOTHING, text), text, "socket", SCIENCE, now=NOW)
    reloaded = readmit(after, trusting("arn:aws:iam::123456789012:user/ana"))
    assert reloaded.in_force is None
    assert reloaded.statement(Slot.AWS) is Statement.WITHDRAWN
    assert code(after, text, trusting("arn:aws:iam::123456789012:user/ana")) == "untrusted-sender"


def test_an_answer_that_has_become_old_admits_nothing_new_and_leaves_in_force_what_is(text: str) -> None:
    state, late = told(NOTHING, text), NOW + timedelta(minutes=61)
    in_force, _ = admit(state, text, "file", SCIENCE, now=NOW)
    assert admit(in_force, text, "file", SCIENCE, now=late) == (in_force, Standing.AGAIN)
    assert code(state, text, now=late) == "untrusted-sender"
    assert code(state, f"{text}\n{ATTESTATION}", now=late) == NOT_ATTESTED_YET
    assert code(told(state, text, now=NOW + timedelta(days=2)), text) == "untrusted-sender"  # a clock set back


def test_a_cloud_s_no_and_a_stranger_s_name_are_refused_and_silence_is_no_answer(text: str) -> None:
    header = grammar.parse(text).header
    no = AttestationOutcome(code="attestation-mismatch", why="of another", hint="h")
    with pytest.raises(Refused) as refused:
        noted({}, header, no, SCIENCE.policy, NOW)
    assert refused.value.code == "attestation-mismatch"
    stranger = AttestationOutcome(identity=structs.replace(ANA, arn="arn:aws:iam::999999999999:user/ana"))
    with pytest.raises(Refused) as unlisted:
        noted({}, header, stranger, SCIENCE.policy, NOW)
    assert unlisted.value.code == "untrusted-sender"
    with pytest.raises(Unavailable):
        noted({}, header, AttestationOutcome(code="throttled", why="w", hint="h", retry=True), SCIENCE.policy, NOW)


def test_an_attestation_is_asked_about_for_exactly_the_bundle_that_it_came_with() -> None:
    sender = World(start=START)
    one, two = (grammar.parse(sender.bundle(aws=sender.session())).header for _ in range(2))
    assert attested_senders.claim_of(one, ATTESTATION).binding != attested_senders.claim_of(two, ATTESTATION).binding


def test_a_key_that_the_configuration_names_needs_no_cloud(text: str) -> None:
    keyed = structs.replace(
        SCIENCE, policy=structs.replace(SCIENCE.policy, trusted_senders=frozenset({ALICE.public_key.raw}))
    )
    assert admit(NOTHING, f"{text}\n{ATTESTATION}", "socket", keyed, now=NOW)[1] is Standing.NEW


@pytest.mark.parametrize("content", ["a\n", "a\nb", "a\r\ncredagent-attestation:1:x", "credagent-attestation:1:x"])
def test_nothing_but_an_attestation_is_taken_for_a_second_line(content: str) -> None:
    for form in (content, content.encode()):
        assert attested_senders.split(form) == (form, "") or "\r" in content
    assert attested_senders.split("a\ncredagent-attestation:1:x\n") == ("a", "credagent-attestation:1:x")


def test_a_configuration_that_names_identities_trusts_somebody() -> None:
    assert BundleSection().trusts_nobody
    assert not BundleSection(trusted_identities=(f"{ROLE}/*",)).trusts_nobody


def test_names_are_whole_and_only_a_session_may_be_left_open() -> None:
    assert is_trusted(ANA, [f"{ROLE}/*"])
    assert is_trusted(ANA, [f"{ROLE}/ana"])
    assert not is_trusted(ANA, [f"{ROLE}/an", f"{ROLE}", f"{ROLE}-2/*", "*", ROLE.replace("1234", "9999") + "/*"])
    account = GoogleIdentity(email="etl@p.iam.gserviceaccount.com")
    assert is_trusted(account, ["google:etl@p.iam.gserviceaccount.com"])
    assert pattern_of(account) == "google:etl@p.iam.gserviceaccount.com"
