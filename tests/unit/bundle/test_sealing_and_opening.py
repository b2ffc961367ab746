"""What is sealed is opened by its recipients, and by nobody else; what cannot be opened later is not sealed."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from credagent.bundle import envelope, opening, sealing, signature
from credagent.bundle.content_key_wrapping import KeyOpener, WrapContext
from credagent.bundle.contents import Bundle, EnvironmentGrant
from credagent.bundle.hpke_suites import Kem
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.errors import CredagentError, NotForThisMachine, Refused, Unavailable, UsageError
from credagent.secret import Secret
from tests.unit.bundle.published.recipe import (
    MACHINE,
    MACHINE_X25519,
    NOW,
    SENDER,
    STRANGER,
    PlayKms,
    aws_session,
    letter,
    variables,
)

EC2_BYTES = 16 * 1024
HOUR = timedelta(hours=1)


class AwayKms:
    """A key in a cloud that cannot be asked."""

    def __init__(self, like: PlayKms) -> None:
        self.kind, self.recipient_id = like.kind, like.recipient_id

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        raise Unavailable("kms-away", "no answer")


def _open(text: str, *keys: KeyOpener) -> opening.Opened:
    parsed = envelope.parse(text)
    signature.verify_signature(parsed)
    return opening.open_by(parsed, keys)


def test_each_recipient_opens_what_was_sealed_to_all() -> None:
    bundle = letter(aws_session(), variables(A="b"))
    text = sealing.seal(bundle, [MACHINE.public_key, STRANGER.public_key, MACHINE_X25519.public_key], SENDER)
    for key in (MACHINE, STRANGER, MACHINE_X25519):
        opened = _open(text, key)
        assert opened.bundle == bundle
        assert opened.recipient_id == key.recipient_id
    with pytest.raises(NotForThisMachine):
        _open(text, RecipientPrivateKey.generate())


def test_the_same_bundle_sealed_twice_shares_nothing_but_its_header() -> None:
    first, second = (envelope.parse(sealing.seal(letter(), [MACHINE.public_key], SENDER)) for _ in range(2))
    assert first.header == second.header
    assert first.stanzas != second.stanzas
    assert first.content != second.content
    assert first.digest != second.digest


def test_each_of_many_machines_gets_an_envelope_of_its_own() -> None:
    bundle = letter(aws_session())
    texts = list(sealing.seal_each(bundle, [MACHINE.public_key, STRANGER.public_key], SENDER))
    assert _open(texts[0], MACHINE).bundle == _open(texts[1], STRANGER).bundle == bundle
    with pytest.raises(NotForThisMachine):
        _open(texts[0], STRANGER)


def test_grants_are_written_in_the_order_of_slots() -> None:
    bundle = letter(variables(A="b"), aws_session())
    text = sealing.seal(bundle, [MACHINE.public_key], SENDER)
    assert _open(text, MACHINE).bundle.grants == (aws_session(), variables(A="b"))


def test_a_key_that_cannot_be_asked_leaves_the_turn_to_another() -> None:
    holder = PlayKms("aws-kms:arn:aws:kms:eu-central-1:123456789012:key/k")
    text = sealing.seal(letter(), [MACHINE.public_key, holder], SENDER)
    away = AwayKms(holder)
    assert _open(text, away, MACHINE).recipient_id == MACHINE.recipient_id
    with pytest.raises(Unavailable) as unavailable:
        _open(text, away)
    assert unavailable.value.code == "kms-away"


@pytest.mark.parametrize("count", [0, 65])
def test_too_many_recipients_or_none_are_a_usage_error(count: int) -> None:
    recipients = [RecipientPrivateKey.generate(Kem.X25519).public_key for _ in range(count)]
    with pytest.raises(UsageError):
        sealing.seal(letter(), recipients, SENDER)


def test_sixty_four_recipients_fit() -> None:
    recipients = [RecipientPrivateKey.generate().public_key for _ in range(64)]
    assert len(envelope.parse(sealing.seal(letter(aws_session()), recipients, SENDER)).stanzas) == 64


def test_a_recipient_named_twice_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        sealing.seal(letter(), [MACHINE.public_key, MACHINE.public_key], SENDER)


@pytest.mark.parametrize(
    "bundle",
    [
        letter(bundle_id="short"),
        letter(audience=""),
        letter(audience="a" * 256),
        letter(audience="\ud800"),
        letter(sequence=2**53),
        letter(not_after=NOW),
        replace(letter(), issued_at=NOW.replace(tzinfo=None)),
        letter(aws_session(), not_after=NOW + timedelta(days=1)),
        letter(aws_session(secret_access_key=Secret(""))),
        letter(aws_session(expires_at=(NOW + HOUR).replace(tzinfo=None)), not_after=NOW + HOUR),
        letter(variables(A="\ud800")),
        letter(EnvironmentGrant(variables={})),
    ],
)
def test_an_unsound_bundle_is_not_sealed(bundle: Bundle) -> None:
    with pytest.raises(Refused) as refused:
        sealing.seal(bundle, [MACHINE.public_key], SENDER)
    assert refused.value.code == "bad-content"


def test_too_large_a_bundle_is_not_sealed() -> None:
    with pytest.raises(Refused) as refused:
        sealing.seal(letter(variables(A="x" * 100_000)), [MACHINE.public_key], SENDER)
    assert refused.value.code == "too-large"


def test_errors_hold_no_value(canary: str) -> None:
    bad = (
        aws_session(secret_access_key=Secret(canary + " ")),
        aws_session(access_key_id=canary + "\n"),
        variables(A=canary + "\0"),
    )
    for grant in bad:
        with pytest.raises(CredagentError) as error:
            sealing.seal(letter(grant), [MACHINE.public_key], SENDER)
        assert canary not in f"{error.value!r} {error.value.hint} {error.value.__context__!r}"


def _usual() -> Bundle:
    token = aws_session(session_token=Secret("t" * 1000), secret_access_key=Secret("s" * 40))
    return letter(token, variables(**{f"VARIABLE_{number:02}": "v" * 64 for number in range(20)}))


def test_a_usual_bundle_is_below_8_kib() -> None:
    """A session token of 1,000 characters, twenty variables of 64 bytes, one X-Wing recipient."""
    text = sealing.seal(_usual(), [MACHINE.public_key], SENDER)
    assert len(text) < EC2_BYTES / 2


def test_an_envelope_put_together_from_its_parts_is_the_same() -> None:
    text = sealing.seal(letter(), [MACHINE.public_key], SENDER)
    parsed = envelope.parse(text.encode() + b"\n")
    assert parsed.text == text
    assert envelope.text_of(parsed.signed, parsed.signature) == text
    assert envelope.header_bytes(parsed.header, parsed.stanzas) == parsed.sealed
    assert envelope.signed_bytes(parsed.sealed, parsed.content) == parsed.signed
    assert envelope.parse(envelope.text_of(parsed.signed, bytes(64))).digest != parsed.digest
    with pytest.raises(Refused):
        signature.verify_signature(replace(parsed, signature=bytes(64)))
