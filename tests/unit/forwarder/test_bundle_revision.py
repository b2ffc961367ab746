"""An edition seals once for each machine, and never two texts under one number."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.opening import open_envelope
from credagent.credentials import Slot
from credagent.errors import Refused
from credagent.forwarder.bundle_revision import UNNAMED_AUDIENCE, BundleRevision
from credagent.forwarder.known_machines import KnownMachine
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from credagent.sender.recipients import Recipient

KEYS = [RecipientPrivateKey.generate() for _ in range(3)]
SENDER = SenderPrivateKey.generate()


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


def edition(environ: dict[str, str], *pinned: Recipient, audience: str = "") -> BundleRevision:
    options = GrantOptions(audience=audience, aws="none", variables={"X": Secret("1")})
    return BundleRevision(options, LocalIdentity(), key=SENDER, pinned=pinned, environ=environ, now=datetime.now(UTC))


def machine(number: int, audience: str = "lab") -> KnownMachine:
    key = KEYS[number].public_key
    return KnownMachine(id=key.line, recipient=key.line, key=key, host=f"h{number}", audience=audience)


def test_each_machine_opens_its_own_and_no_other(state: dict[str, str]) -> None:
    made = edition(state)
    machines = [machine(number) for number in range(3)]
    made.seal_for(machines)
    for number, found in enumerate(machines):
        text = made.text_for(found)
        bundle = open_envelope(envelope.parse(text), [KEYS[number]])
        assert bundle.audience == "lab"
        assert bundle.bundle_id in made.bundle_ids
        with pytest.raises(Refused):
            open_envelope(envelope.parse(text), [KEYS[number - 1]])
    assert made.granted == [Slot.ENVIRONMENT.value]
    assert made.sealed == 3


def test_a_text_is_kept_so_that_one_number_has_one_digest(state: dict[str, str]) -> None:
    made = edition(state)
    made.seal_for([machine(0)])
    text = made.text_for(machine(0))
    made.seal_for([machine(0), machine(1)])
    assert made.text_for(machine(0)) == text
    again = made.again(datetime.now(UTC))
    again.seal_for([machine(0)])
    sequences = [envelope.parse(found).header.sequence for found in (text, again.text_for(machine(0)))]
    assert sequences == sorted(set(sequences))


def test_each_audience_is_its_own_letter(state: dict[str, str]) -> None:
    made = edition(state)
    machines = [machine(0, "lab"), machine(1, "home"), machine(2, "")]
    made.seal_for(machines)
    audiences = [envelope.parse(made.text_for(found)).header.audience for found in machines]
    assert audiences == ["lab", "home", UNNAMED_AUDIENCE]
    named = edition(state, audience="all")
    named.seal_for(machines)
    assert {envelope.parse(named.text_for(found)).header.audience for found in machines} == {"all"}


def test_with_named_recipients_an_announced_key_is_used_only_if_it_is_one_of_them(state: dict[str, str]) -> None:
    made = edition(state, KEYS[0].public_key, KEYS[2].public_key)
    machines = [machine(0), machine(1)]
    made.seal_for(machines)
    own, shared = (envelope.parse(made.text_for(found)) for found in machines)
    assert [stanza.recipient_id for stanza in own.stanzas] == [KEYS[0].recipient_id]
    assert {stanza.recipient_id for stanza in shared.stanzas} == {KEYS[0].recipient_id, KEYS[2].recipient_id}


def test_no_number_is_taken_for_an_edition_that_nobody_gets(state: dict[str, str]) -> None:
    edition(state).seal_for([])
    assert not os.path.exists(f"{state['XDG_STATE_HOME']}/credagent")


def test_a_key_that_two_hosts_announce_is_sealed_to_once(state: dict[str, str]) -> None:
    made, first, second = edition(state), machine(0), machine(0)
    made.seal_for([first, second])
    assert made.sealed == 1
    assert made.text_for(first) == made.text_for(second)
