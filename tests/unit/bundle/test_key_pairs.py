"""Keys are read from one line, written back to the same line, and never shown."""

import pickle

import pytest

from credagent.bundle import base64url
from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.bundle.hpke_suites import Kem
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey, SenderPrivateKey, SenderPublicKey
from credagent.bundle.kms_reference import is_kms_reference, parse_kms_reference
from credagent.errors import ConfigurationError, Refused
from credagent.secret import Secret

SEED = bytes(range(32))
ENCODED = base64url.encode(SEED)


@pytest.mark.parametrize("kem", Kem)
def test_a_recipient_key_survives_its_text(kem: Kem) -> None:
    key = RecipientPrivateKey.generate(kem)
    assert RecipientPrivateKey.parse(key.to_text()).public_key == key.public_key
    assert RecipientPublicKey.parse(key.public_key.line + "\n") == key.public_key
    assert key.key_id == key.recipient_id.hex() == key.public_key.key_id


def test_a_sender_key_survives_its_text() -> None:
    key = SenderPrivateKey.generate()
    assert SenderPrivateKey.parse(key.to_text()).public_key == key.public_key
    assert SenderPublicKey.parse(key.public_key.line) == key.public_key
    assert key.public_key.verifies(key.sign(b"word"), b"word")
    assert not key.public_key.verifies(key.sign(b"word"), b"other word")
    assert not key.public_key.verifies(b"short", b"word")


def test_an_x_wing_seed_is_expanded_as_the_draft_says() -> None:
    """The public key of the first example in draft-connolly-cfrg-xwing-kem, appendix C."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    raw = RecipientPrivateKey(Kem.X_WING, seed).public_key.raw
    assert raw.hex().startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")
    assert len(raw) == 1216


@pytest.mark.parametrize("kem", Kem)
def test_a_wrapped_key_opens_in_its_context_only(kem: Kem) -> None:
    key = RecipientPrivateKey.generate(kem)
    context = WrapContext(kind=key.kind, recipient_id=key.recipient_id, audience="a", sender=bytes(32))
    other = WrapContext(kind=key.kind, recipient_id=key.recipient_id, audience="b", sender=bytes(32))
    body = key.public_key.wrap(b"k" * 32, context)
    assert key.open_stanza(body, context) == b"k" * 32
    with pytest.raises(Refused) as refused:
        key.open_stanza(body, other)
    assert refused.value.code == "does-not-open"
    with pytest.raises(Refused):
        RecipientPrivateKey.generate(kem).open_stanza(body, context)


@pytest.mark.parametrize("key", [RecipientPrivateKey(Kem.X_WING, SEED), SenderPrivateKey(SEED)])
def test_a_private_key_is_neither_shown_nor_pickled(key: RecipientPrivateKey | SenderPrivateKey) -> None:
    shown = f"{key!r} {key} {[key]} {key.to_text()}"
    assert ENCODED not in shown
    assert SEED.hex() not in shown
    assert key.key_id in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "credagent-recipient:x-wing",
        "credagent-recipient:x-wing:AAAA",
        "credagent-recipient:x25519:AAAA",
        f"credagent-recipient:rsa:{ENCODED}",
        f"credagent-recipient:x25519:{ENCODED}=",
        f"credagent-recipient:x25519:{ENCODED} a comment",
        f"credagent-recipient-key:x25519:{ENCODED}",
        "credagent-recipient:x-wing:" + base64url.encode(b"\xff" * 1216),
    ],
)
def test_a_wrong_public_key_is_refused_without_being_quoted(line: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        RecipientPublicKey.parse(line)
    assert wrong.value.code == "wrong-key"
    assert ENCODED not in f"{wrong.value} {wrong.value.hint}"


def test_a_private_key_in_the_wrong_place_is_not_quoted() -> None:
    for text in (f"credagent-sender-key:ed25519:{ENCODED}", f"credagent-recipient-key:x-wing:{ENCODED}A"):
        with pytest.raises(ConfigurationError) as wrong:
            RecipientPrivateKey.parse(Secret(text))
        assert ENCODED not in repr(wrong.value)
        assert wrong.value.__cause__ is None
    with pytest.raises(ConfigurationError):
        SenderPublicKey.parse(f"credagent-sender-key:ed25519:{ENCODED}")
    with pytest.raises(ConfigurationError):
        SenderPrivateKey(SEED[:31])


def test_a_point_of_small_order_is_no_recipient() -> None:
    key = RecipientPublicKey(Kem.X25519, bytes(32))
    context = WrapContext(kind=key.kind, recipient_id=key.recipient_id, audience="a", sender=bytes(32))
    with pytest.raises(ConfigurationError):
        key.wrap(b"k" * 32, context)


def test_a_kms_reference_is_named_by_its_text() -> None:
    reference = parse_kms_reference("aws-kms:arn:aws:kms:eu-central-1:123456789012:key/k\n")
    assert (reference.kind, reference.text) == (
        StanzaKind.AWS_KMS,
        "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/k",
    )
    assert reference.recipient_id.hex() == reference.key_id
    assert parse_kms_reference("gcp-kms:projects/p").kind is StanzaKind.GCP_KMS
    assert is_kms_reference("gcp-kms:x")
    assert not is_kms_reference("credagent-recipient:x-wing:")


@pytest.mark.parametrize("text", ["", "aws-kms:", "azure-kms:x", "aws-kms:a b", "aws-kms:é", "aws-kms:" + "a" * 2048])
def test_a_wrong_kms_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_kms_reference(text)


FIELD = 2**255 - 19
ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER_Y = [0, 1, FIELD - 1, FIELD, FIELD + 1, ORDER_8, FIELD - ORDER_8]
SIGN = 1 << 255


@pytest.mark.parametrize("encoded", [y | sign for y in SMALL_ORDER_Y for sign in (0, SIGN)])
def test_a_sender_whose_key_is_of_small_order_is_none(encoded: int) -> None:
    """Whoever trusted it would admit what anybody signs: S = 0 with the neutral element verifies under it."""
    raw = encoded.to_bytes(32, "little")
    with pytest.raises(ConfigurationError) as error:
        SenderPublicKey.parse(f"credagent-sender:ed25519:{base64url.encode(raw)}")
    assert error.value.code == "wrong-key"
    assert "anybody can sign" in error.value.why
    forged = bytes([1]) + bytes(63)
    assert not any(SenderPublicKey(raw).verifies(forged, bytes([message])) for message in range(64))


def test_an_honest_senders_key_is_one() -> None:
    for _ in range(100):
        line = SenderPrivateKey.generate().public_key.line
        assert SenderPublicKey.parse(line).line == line
