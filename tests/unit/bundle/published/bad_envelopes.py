"""Bad vectors of the steps that need no key: text, signature, sender, place in time."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credagent.bundle.contents import Bundle
from tests.unit.bundle.published.recipe import (
    MACHINE,
    MACHINE_X25519,
    NOW,
    OTHER_SENDER,
    SENDER,
    Case,
    Draft,
    aws_session,
    digest,
    draft,
    fixed,
    in_force,
    letter,
    marks,
    raw_stanza,
    refused,
    text_of_binary,
)

CURVE_ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519, RFC 8032 section 5.1
HEADER_ONLY = 1 + 32 + 1 + 9 + 16 + 24 + 1
TWO_SENDERS = {"trusted_senders": [SENDER.public_key.line, OTHER_SENDER.public_key.line]}


def _bent(code: str, description: str, bend: Callable[[Draft], None], step: int = 1) -> Callable[[], Case]:
    def case() -> Case:
        pieces = draft(letter(aws_session()))
        bend(pieces)
        return refused(step, code, description, pieces.text)

    return case


def _rewritten(code: str, description: str, rewrite: Callable[[str], str]) -> Callable[[], Case]:
    return lambda: refused(1, code, description, rewrite(draft(letter(aws_session())).text))


def _binary(code: str, description: str, rewrite: Callable[[bytes], bytes], step: int = 1) -> Callable[[], Case]:
    return lambda: refused(step, code, description, text_of_binary(rewrite(draft(letter(aws_session())).binary)))


def _loose_bits(text: str) -> str:
    """Change the last character in the bits that decode to nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def _with_loose_bits() -> Case:
    for length in range(3):
        text = draft(letter(aws_session(region="a" * (length + 1)))).text
        if (len(text) - len("credagent-bundle:1:")) % 4 in (2, 3):
            return refused(1, "malformed", "an unused bit at the end is set", _loose_bits(text))
    raise AssertionError


def _flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :] if at >= 0 else _flip(len(data) + at)(data)


def _larger_s(data: bytes) -> bytes:
    s = int.from_bytes(data[-32:], "little") + CURVE_ORDER
    return data[:-32] + s.to_bytes(32, "little")


def _set(**pieces: Any) -> Callable[[Draft], None]:
    def bend(whole: Draft) -> None:
        for name, value in pieces.items():
            setattr(whole, name, value)

    return bend


def _audience(name: bytes) -> Callable[[Draft], None]:
    return _set(audience=name, audience_length=len(name))


def _too_many(whole: Draft) -> None:
    whole.stanzas = [raw_stanza(3, number.to_bytes(16, "big"), b"body") for number in range(65)]


def _twice(whole: Draft) -> None:
    whole.stanzas = [whole.stanzas[0], whole.stanzas[0]]


def _same_id_other_kind(whole: Draft) -> None:
    whole.stanzas = [whole.stanzas[0], raw_stanza(2, MACHINE.recipient_id, bytes(80))]


def _reversed(whole: Draft) -> None:
    whole.stanzas = [raw_stanza(2, MACHINE_X25519.recipient_id, bytes(80)), whole.stanzas[0]]


def _other_body(kind: int, size: int) -> Callable[[Draft], None]:
    return lambda whole: setattr(whole, "stanzas", [raw_stanza(kind, fixed("somebody", 16), bytes(size))])


TEXTS: Mapping[str, Callable[[], Case]] = {
    "empty": _rewritten("empty", "nothing", lambda _: ""),
    "empty-line": _rewritten("empty", "a newline", lambda _: "\n"),
    "too-large": _rewritten("too-large", "one byte over 128 KiB", lambda text: text.ljust(131_073, "A")),
    "another-program": _rewritten("not-an-envelope", "something else", lambda _: "age-encryption.org/v1\n"),
    "leading-space": _rewritten("not-an-envelope", "a space before it", lambda text: " " + text),
    "prefix-in-capitals": _rewritten(
        "not-an-envelope", "the prefix in capitals", lambda text: text[:16].upper() + text[16:]
    ),
    "no-version": _rewritten("not-an-envelope", "a word for a version", lambda text: text.replace(":1:", ":one:", 1)),
    "version-2-text": _rewritten(
        "unknown-version", "version 2 in its text", lambda text: text.replace(":1:", ":2:", 1)
    ),
    "version-01-text": _rewritten("unknown-version", "1 written as 01", lambda text: text.replace(":1:", ":01:", 1)),
    "version-2-binary": _bent("unknown-version", "version 2 in its first byte", _set(version=2)),
    "two-newlines": _rewritten("malformed", "two newlines after it", lambda text: text + "\n\n"),
    "carriage-return": _rewritten("malformed", "a line end of another system", lambda text: text + "\r\n"),
    "line-break": _rewritten("malformed", "broken into two lines", lambda text: text[:100] + "\n" + text[100:]),
    "padding": _rewritten("malformed", "padded", lambda text: text + "="),
    "plain-base64": _rewritten("malformed", "base64 of the other alphabet", lambda text: text[:40] + "+/" + text[42:]),
    "foreign-character": _rewritten(
        "malformed", "a character from elsewhere", lambda text: text[:60] + "é" + text[60:]
    ),
    "loose-bits": _with_loose_bits,
    "prefix-alone": _rewritten("malformed", "no envelope after the prefix", lambda _: "credagent-bundle:1:"),
    "cut-in-header": _binary("malformed", "cut in its header", lambda data: data[:50]),
    "cut-in-stanza": _binary("malformed", "cut in a stanza", lambda data: data[: HEADER_ONLY + 100]),
    "cut-by-a-byte": _binary("malformed", "cut by a byte", lambda data: data[:-1]),
    "longer-by-a-byte": _bent("malformed", "a byte after the signature", _set(tail=b"\0")),
    "no-recipient": _bent("malformed", "no stanza", _set(stanzas=[])),
    "too-many-recipients": _bent("malformed", "65 stanzas", _too_many),
    "recipient-twice": _bent("malformed", "a stanza twice", _twice),
    "recipient-twice-by-kind": _bent("malformed", "one recipient id under two kinds", _same_id_other_kind),
    "stanzas-out-of-order": _bent("malformed", "stanzas out of order", _reversed),
    "unknown-kind": _bent("malformed", "a stanza of kind 5", _other_body(5, 80)),
    "short-body": _bent("malformed", "an X25519 stanza without its last byte", _other_body(2, 79)),
    "empty-kms-body": _bent("malformed", "a KMS stanza without a body", _other_body(3, 0)),
    "content-too-short": _bent("malformed", "a content shorter than its tag", _set(content=bytes(15))),
    "content-length-too-large": _bent("malformed", "a content length beyond the end", _set(content_length=2**32 - 1)),
    "audience-empty": _bent("malformed", "an empty audience", _audience(b"")),
    "audience-not-utf-8": _bent("malformed", "an audience that is not UTF-8", _audience(b"cluster-\xff")),
    "audience-with-control": _bent("malformed", "an audience that rings a bell", _audience(b"cluster-\x07")),
    "sequence-zero": _bent("malformed", "sequence 0", _set(sequence=0)),
    "sequence-too-large": _bent("malformed", "sequence 2^53", _set(sequence=2**53)),
    "issued-out-of-range": _bent("malformed", "times beyond 2^53", _set(issued=2**63, ends=2**63 + 1)),
    "ends-before-it-begins": _bent(
        "malformed", "not_after equal to issued_at", lambda whole: setattr(whole, "ends", whole.issued)
    ),
}

FIELD = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
NEUTRAL = bytes([1]) + bytes(31)


def _encoded(y: int) -> bytes:
    return y.to_bytes(32, "little")


def _under_small_order(which: str, sender: bytes) -> Callable[[], Case]:
    """Sign without a private key: S = 0 and the neutral element, which verifies for one message in eight or more."""

    def make() -> Case:
        whole = draft(letter())
        whole.sender = sender
        for attempt in range(256):  # the sequence is part of the message
            whole.sequence = letter().sequence + attempt
            signed = whole.binary[:-64]
            if _verifies(sender, NEUTRAL + bytes(32), whole.domain + signed):
                return refused(
                    2, "bad-signature", f"its sender is {which}", text_of_binary(signed + NEUTRAL + bytes(32))
                )
        raise AssertionError(which)

    return make


def _verifies(sender: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(sender).verify(signature, message)
    except InvalidSignature:
        return False
    return True


SIGNATURES: Mapping[str, Callable[[], Case]] = {
    "bent-sender": _binary("bad-signature", "a bit of the sender", _flip(5), 2),
    "bent-audience": _binary("bad-signature", "a bit of the audience", _flip(36), 2),
    "bent-sequence": _binary("bad-signature", "a bit of the sequence", _flip(66), 2),
    "bent-stanza": _binary("bad-signature", "a bit of a stanza", _flip(HEADER_ONLY + 700), 2),
    "bent-content": _binary("bad-signature", "a bit of the content", _flip(-100), 2),
    "bent-signature": _binary("bad-signature", "a bit of the signature", _flip(-40), 2),
    "signature-with-larger-s": _binary("bad-signature", "the other form of a signature (S + L)", _larger_s, 2),
    "sender-of-order-1": _under_small_order("the neutral element", bytes([1]) + bytes(31)),
    "sender-of-order-1-again": _under_small_order("the neutral element, y written as 1 + p", _encoded(1 + FIELD)),
    "sender-of-order-2": _under_small_order("a point of order 2", _encoded(FIELD - 1)),
    "sender-of-order-4": _under_small_order("a point of order 4", bytes(32)),
    "sender-of-order-8": _under_small_order("a point of order 8", ORDER_8),
    "signed-by-another": _bent("bad-signature", "signed by another than it names", _set(signer=OTHER_SENDER), 2),
    "signed-without-domain": _bent("bad-signature", "signed without the domain prefix", _set(domain=b""), 2),
    "signed-as-something-else": _bent(
        "bad-signature", "signed for another domain", _set(domain=b"credagent-other:1\x00"), 2
    ),
}


def _sent(code: str, description: str, step: int, bundle: Bundle | None = None, **more: Any) -> Callable[[], Case]:
    return lambda: refused(step, code, description, draft(bundle or letter()).text, **more)


def _replay(code: str, description: str, ahead: int, **more: Any) -> Callable[[], Case]:
    machine = {"marks": marks((SENDER, letter().sequence + ahead, "22" * 32))}
    return _sent(code, description, 4, machine=machine, **more)


def _rival(description: str, **later: int) -> Callable[[], Case]:
    machine = {**TWO_SENDERS, "in_force": in_force(OTHER_SENDER, NOW + timedelta(**later), "33" * 32)}
    return _sent("superseded", description, 4, machine=machine)


def _restart(code: str, description: str, **machine: Any) -> Callable[[], Case]:
    def case() -> Case:
        text = draft(letter()).text
        known = {
            "in_force": in_force(SENDER, NOW, digest(text)),
            "marks": marks((SENDER, letter().sequence, digest(text))),
        }
        return refused(3, code, description, text, machine={**known, **machine}, reading="restart")

    return case


JUST_AHEAD = NOW + timedelta(minutes=5, microseconds=1)

STANDINGS: Mapping[str, Callable[[], Case]] = {
    "untrusted-sender": _sent(
        "untrusted-sender", "a sender nobody listed", 3, machine={"trusted_senders": [OTHER_SENDER.public_key.line]}
    ),
    "nobody-trusted": _sent("untrusted-sender", "a machine that trusts nobody", 3, machine={"trusted_senders": []}),
    "wrong-audience": _sent("wrong-audience", "another cluster's", 3, letter(audience="cluster-b")),
    "audience-in-another-case": _sent("wrong-audience", "the audience in capitals", 3, letter(audience="CLUSTER-A")),
    "audience-not-normalised": _sent(
        "wrong-audience",
        "e + accent where the machine has é",
        3,
        letter(audience="clust\u0065\u0301r"),
        machine={"audience": "clust\u00e9r"},
    ),
    "replayed": _replay("replayed", "one below the mark", 1),
    "replayed-long-ago": _replay(
        "replayed", "far below the mark, and ended: the mark is looked at first", 10**12, now=NOW + timedelta(days=90)
    ),
    "forked": _replay("forked", "the mark's number and another digest", 0),
    "issued-in-the-future": _sent(
        "from-the-future",
        "issued more than five minutes ahead",
        4,
        letter(issued_at=JUST_AHEAD, sequence=letter().sequence, not_after=NOW + timedelta(days=1)),
    ),
    "sequence-in-the-future": _sent(
        "from-the-future", "a number more than five minutes ahead", 4, letter(sequence=letter().sequence + 300_000_001)
    ),
    "sequence-at-its-limit": _sent(
        "from-the-future", "2^53 - 1 would lock its sender out", 4, letter(sequence=2**53 - 1)
    ),
    "superseded": _rival("issued before the bundle in force of another sender", seconds=1),
    "superseded-by-a-tie": _rival("issued together with the bundle in force of another sender"),
    "expired": _sent(
        "expired", "its end has come", 4, letter(not_after=NOW + timedelta(hours=1)), now=NOW + timedelta(hours=1)
    ),
    "too-old": _sent(
        "too-old", "first seen a microsecond after max_age", 4, now=NOW + timedelta(days=1, microseconds=1)
    ),
    "restart-sender-removed": _restart("untrusted-sender", "in force, and its sender was removed", trusted_senders=[]),
    "restart-audience-changed": _restart(
        "wrong-audience", "in force, and the machine was given to another cluster", audience="cluster-b"
    ),
}
