"""A revision seals once for each recipient, and never two texts under one number."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.opening import open_envelope
from credagent.credentials import Slot, Statement
from credagent.dask_cluster import scheduler_address
from credagent.errors import Refused
from credagent.forwarder import bundle_revision
from credagent.forwarder.bundle_revision import FRESH, BundleRevision
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.key_trust import TrustedRecipient
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from credagent.sender.recipients import Recipient

KEYS = [RecipientPrivateKey.generate() for _ in range(3)]
ONE, TWO, THREE = (TrustedRecipient(key.public_key, "lab") for key in KEYS)
SHARED = TrustedRecipient(None, "lab")
NOW = datetime.now(UTC)


def revision(folder: Path, *pinned: Recipient, withdrawn: frozenset[Slot] = frozenset()) -> BundleRevision:
    place = scheduler_address.parse("tcp://127.0.0.1:1")
    plan = ForwardingPlan(
        options=GrantOptions(audience="", aws="none", variables={"X": Secret("1")}),
        key=SenderPrivateKey.generate(),
        pinned=pinned,
        trust=None,
        whereabouts=lambda: place,
        environ={"XDG_STATE_HOME": str(folder)},
    )
    return BundleRevision(1, LocalIdentity(), plan, NOW, withdrawn)


def test_each_machine_opens_its_own_and_no_other(tmp_path: Path) -> None:
    made = revision(tmp_path)
    made.seal_for([ONE, TWO, THREE])
    for number, recipient in enumerate((ONE, TWO, THREE)):
        text = made.text_for(recipient)
        bundle = open_envelope(envelope.parse(text), [KEYS[number]])
        assert bundle.audience == "lab"
        assert made.holds(bundle.bundle_id)
        with pytest.raises(Refused):
            open_envelope(envelope.parse(text), [KEYS[number - 1]])
    assert made.granted == [Slot.ENVIRONMENT.value]
    assert made.sealed_texts == 3


def test_there_is_no_text_for_another_audience_than_the_one_that_was_judged(tmp_path: Path) -> None:
    made = revision(tmp_path)
    made.seal_for([ONE])
    for other in (TrustedRecipient(ONE.key, "elsewhere"), TrustedRecipient(TWO.key, "lab"), SHARED):
        with pytest.raises(KeyError):
            made.text_for(other)


def test_a_text_is_kept_so_that_one_number_has_one_digest(tmp_path: Path) -> None:
    made = revision(tmp_path)
    made.seal_for([ONE])
    text = made.text_for(ONE)
    made.seal_for([ONE, TWO])
    assert made.text_for(ONE) == text


def test_what_is_sealed_afresh_has_a_number_of_its_own_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    made = revision(tmp_path)
    made.seal_for([ONE, TWO])
    before = [made.text_for(recipient) for recipient in (ONE, TWO)]
    later = NOW + FRESH + timedelta(seconds=1)
    made.seal_afresh([ONE], later)
    made.seal_afresh([ONE], later)  # young enough
    assert made.text_for(TWO) == before[1]
    sequences = [envelope.parse(text).header.sequence for text in (before[0], made.text_for(ONE))]
    assert sequences == sorted(set(sequences))
    assert all(made.holds(envelope.parse(text).header.bundle_id) for text in (*before, made.text_for(ONE)))


def test_each_audience_is_a_bundle_of_its_own(tmp_path: Path) -> None:
    made = revision(tmp_path)
    recipients = [ONE, TrustedRecipient(TWO.key, "home")]
    made.seal_for(recipients)
    headers = [envelope.parse(made.text_for(recipient)).header for recipient in recipients]
    assert [header.audience for header in headers] == ["lab", "home"]
    assert len({header.bundle_id for header in headers}) == 2


def test_what_machines_share_is_sealed_to_the_recipients_that_the_caller_named(tmp_path: Path) -> None:
    made = revision(tmp_path, KEYS[0].public_key, KEYS[2].public_key)
    made.seal_for([ONE, SHARED])
    own, shared = (envelope.parse(made.text_for(recipient)) for recipient in (ONE, SHARED))
    assert [stanza.recipient_id for stanza in own.stanzas] == [KEYS[0].recipient_id]
    assert {stanza.recipient_id for stanza in shared.stanzas} == {KEYS[0].recipient_id, KEYS[2].recipient_id}


def test_no_number_is_taken_for_a_revision_that_nobody_gets(tmp_path: Path) -> None:
    revision(tmp_path).seal_for([])
    assert not os.path.exists(tmp_path / "credagent")


def test_what_is_withdrawn_is_said_so(tmp_path: Path) -> None:
    made = revision(tmp_path, withdrawn=frozenset({Slot.ENVIRONMENT}))
    made.seal_for([ONE])
    bundle = open_envelope(envelope.parse(made.text_for(ONE)), [KEYS[0]])
    assert bundle.statement(Slot.ENVIRONMENT) is Statement.WITHDRAWN
    assert made.granted == []
    assert made.only_takes_back


def test_what_grants_something_is_sealed_to_no_key_that_was_only_believed_before(tmp_path: Path) -> None:
    lapsed = TrustedRecipient(ONE.key, "lab", grants=False)
    with pytest.raises(ValueError, match="not believed any more"):
        revision(tmp_path).seal_for([TWO, lapsed])
    made = revision(tmp_path, withdrawn=frozenset({Slot.ENVIRONMENT}))
    made.seal_for([lapsed])
    assert open_envelope(envelope.parse(made.text_for(lapsed)), [KEYS[0]]).grants == ()


def test_the_earliest_of_ever_new_keys_are_let_go_and_come_back_under_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_revision, "MOST_TEXTS", 2)
    made = revision(tmp_path)
    made.seal_for([ONE, TWO, THREE])
    assert made.sealed_texts == 3  # whoever is delivered to now is kept
    first = sequence_of(made.text_for(ONE))
    newer = TrustedRecipient(RecipientPrivateKey.generate().public_key, "lab")
    made.seal_for([newer])
    assert made.sealed_texts == 2
    with pytest.raises(KeyError):
        made.text_for(ONE)
    assert sequence_of(made.text_for(THREE)) == sequence_of(made.text_for(newer)) == first
    made.seal_for([ONE])
    assert sequence_of(made.text_for(ONE)) > first


def sequence_of(text: str) -> int:
    """Return the number under which agents remember a bundle."""
    return envelope.parse(text).header.sequence
