"""Bad vectors of opened envelopes, all rightly signed by a trusted sender: stanza and content."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from credagent.bundle.contents import AwsAssumeRoleGrant, Grant
from tests.unit.bundle.published.recipe import (
    MACHINE,
    MACHINE_X25519,
    NOW,
    OTHER_SENDER,
    SENDER,
    STRANGER,
    STRANGER_X25519,
    Case,
    Draft,
    PlayKms,
    all_keys,
    aws_session,
    document,
    draft,
    dumped,
    fixed,
    letter,
    raw_stanza,
    refused,
    stanza,
    variables,
)


def _bent(code: str, description: str, bend: Callable[[Draft], object]) -> Callable[[], Case]:
    def case() -> Case:
        pieces = draft(letter(aws_session()))
        bend(pieces)
        return refused(5, code, description, pieces.text)

    return case


def _for_others(description: str, *recipients: Any, **machine: Any) -> Callable[[], Case]:
    return lambda: refused(5, "not-for-this-machine", description, draft(letter(), *recipients).text, machine=machine)


def _wrapped_for(
    *, audience: str = "cluster-a", sender: Any = SENDER, key: bytes | None = None
) -> Callable[[Draft], None]:
    def bend(whole: Draft) -> None:
        whole.stanzas = [stanza(MACHINE.public_key, key or whole.content_key, audience, sender.public_key.raw)]

    return bend


def _for_another_kind(whole: Draft) -> None:
    whole.stanzas = [stanza(MACHINE.public_key, whole.content_key, "cluster-a", whole.sender, bound_to=2)]


def _borrowed_stanza(whole: Draft) -> None:
    """Put another trusted sender's stanza, for the same machine, under one's own name."""
    whole.stanzas = draft(letter(aws_session()), signer=OTHER_SENDER).stanzas


def _short_key() -> Case:
    holder = PlayKms("aws-kms:arn:aws:kms:eu-central-1:123456789012:key/test-vector")
    text = draft(letter(), holder).text
    kms = [{**holder.answers, "content_key": fixed("content key", 16).hex()}]
    return refused(5, "does-not-open", "a KMS that decrypts to 16 bytes", text, machine={"kms": kms})


def _small_order(whole: Draft) -> None:
    whole.stanzas = [raw_stanza(2, MACHINE_X25519.recipient_id, bytes(32) + fixed("ciphertext", 48))]


def _added_recipient(whole: Draft) -> None:
    """Add a recipient after the content was encrypted."""
    whole.content = _content(whole)
    whole.stanzas = sorted([*whole.stanzas, stanza(STRANGER.public_key, whole.content_key, "cluster-a", whole.sender)])


def _content(whole: Draft) -> bytes:
    sealed = len(whole.sealed)
    return whole.binary[sealed + 4 : -64]


def _header(**pieces: Any) -> Callable[[Draft], None]:
    def bend(whole: Draft) -> None:
        for name, value in pieces.items():
            setattr(whole, name, value(getattr(whole, name)))

    return bend


def _renamed(whole: Draft) -> None:
    """Name another audience in the plaintext than in the header."""
    whole.plaintext = whole.plaintext.replace(b"cluster-a", b"cluster-b")


def _raw(description: str, rewrite: Callable[[bytes], bytes], code: str = "bad-content") -> Callable[[], Case]:
    return _bent(code, description, lambda whole: setattr(whole, "plaintext", rewrite(whole.plaintext)))


def _json(
    description: str, change: Callable[[dict[str, Any]], object], *grants: Grant, code: str = "bad-content"
) -> Callable[[], Case]:
    def case() -> Case:
        bundle = letter(*(grants or (aws_session(),)))
        value = document(bundle)
        change(value)
        pieces = draft(bundle)
        pieces.plaintext = dumped(value)
        return refused(5, code, description, pieces.text)

    return case


def _grant(description: str, *grants: Grant, **changes: Any) -> Callable[[], Case]:
    return _json(description, lambda value: value["grants"][0].update(changes), *grants)


def _letter(description: str, **changes: Any) -> Callable[[], Case]:
    return lambda: refused(5, "bad-content", description, draft(letter(aws_session(), **changes)).text)


OPENINGS: Mapping[str, Callable[[], Case]] = {
    "for-others": _for_others("sealed to other machines", STRANGER.public_key, STRANGER_X25519.public_key),
    "for-another-kind-of-key": _for_others(
        "for the X-Wing key of a machine that has its X25519 key alone", recipient_keys=all_keys([MACHINE_X25519])
    ),
    "for-nobody-here": _for_others("a machine without keys", recipient_keys=[]),
    "stanza-of-another-key": _bent(
        "does-not-open",
        "our name on a stanza that is for another",
        lambda whole: setattr(
            whole, "stanzas", [whole.stanzas[0][:19] + draft(letter(), STRANGER.public_key).stanzas[0][19:]]
        ),
    ),
    "stanza-for-another-audience": _bent(
        "does-not-open", "a key wrapped for another audience", _wrapped_for(audience="cluster-b")
    ),
    "stanza-by-another-sender": _bent(
        "does-not-open", "a key wrapped by another sender", _wrapped_for(sender=OTHER_SENDER)
    ),
    "stanza-for-another-kind": _bent("does-not-open", "a key wrapped for another kind", _for_another_kind),
    "re-signed-by-another": _bent("does-not-open", "another sender's stanza under a trusted name", _borrowed_stanza),
    "stanza-of-small-order": _bent("does-not-open", "an X25519 point of small order", _small_order),
    "short-content-key": _short_key,
    "another-content-key": _bent(
        "does-not-open", "the key of another content", _wrapped_for(key=fixed("another content key"))
    ),
    "recipient-added": _bent("does-not-open", "a recipient added after encryption", _added_recipient),
    "another-nonce": _bent(
        "does-not-open", "a nonce that is not zero", lambda whole: setattr(whole, "nonce", b"\1" * 12)
    ),
    "header-audience": _bent("header-mismatch", "another audience inside", _renamed),
    "header-sequence": _bent(
        "header-mismatch", "another sequence outside", _header(sequence=lambda number: number + 1)
    ),
    "header-issued": _bent("header-mismatch", "another issued_at outside", _header(issued=lambda number: number - 1)),
    "header-ends": _bent("header-mismatch", "another not_after outside", _header(ends=lambda number: number - 1)),
    "header-bundle-id": _bent(
        "header-mismatch", "another bundle id outside", _header(bundle_id=lambda value: value[::-1])
    ),
}

CONTENTS: Mapping[str, Callable[[], Case]] = {
    "not-json": _raw("not JSON", lambda _: b"AWS_SECRET_ACCESS_KEY=x"),
    "not-utf-8": _raw("not UTF-8", lambda plain: plain.replace(b"ASIA", b"\xff\xfe__")),
    "white-space": _raw("a space after a colon", lambda plain: plain.replace(b":", b": ", 1)),
    "trailing-text": _raw("a newline after it", lambda plain: plain + b"\n"),
    "unsorted": _raw("keys out of order", lambda plain: b'{"version":1,' + plain[1:].replace(b',"version":1', b"")),
    "duplicate-key": _raw("a key twice", lambda plain: plain.replace(b'"version":1', b'"version":1,"version":1')),
    "duplicate-secret": _raw(
        "a secret twice, the first one hidden",
        lambda plain: plain.replace(b'"secret_access_key":', b'"secret_access_key":"other","secret_access_key":'),
    ),
    "escaped-ascii": _raw("a letter written as an escape", lambda plain: plain.replace(b"ASIA", b"\\u0041SIA")),
    "number-as-float": _raw("1.0 for 1", lambda plain: plain.replace(b'"version":1', b'"version":1.0')),
    "number-as-text": _json("a sequence in quotes", lambda value: value.update(sequence=str(value["sequence"]))),
    "version-2-content": _json("version 2 inside", lambda value: value.update(version=2), code="unknown-version"),
    "no-version-content": _json("no version inside", lambda value: value.pop("version")),
    "unknown-field": _json("a field from the future", lambda value: value.update(colour="red")),
    "unknown-grant-field": _grant("a field of a grant from the future", colour="red"),
    "unknown-grant": _grant("a grant of an unknown kind", kind="azure-token"),
    "missing-field": _json("no secret", lambda value: value["grants"][0].pop("secret_access_key")),
    "empty-optional": _grant("an empty optional field", region=""),
    "null-optional": _grant("null for an absent field", region=None),
    "slot-not-stated": _json("nothing said of google", lambda value: value["slots"].pop("google")),
    "slot-unknown": _json("a fourth slot", lambda value: value["slots"].update(azure="declined")),
    "statement-unknown": _json("a fifth statement", lambda value: value["slots"].update(google="maybe")),
    "granted-without-grant": _json("granted, and no grant", lambda value: value["slots"].update(google="granted")),
    "grant-not-granted": _json("a grant for a declined slot", lambda value: value["slots"].update(aws="declined")),
    "grant-for-withdrawn": _json("a grant for a withdrawn slot", lambda value: value["slots"].update(aws="withdrawn")),
    "two-grants-for-a-slot": _json("two AWS sessions", lambda value: value["grants"].append(value["grants"][0])),
    "grants-out-of-order": _json(
        "environment before aws", lambda value: value["grants"].reverse(), aws_session(), variables(A="b")
    ),
    "time-with-offset": _grant("a time in another zone", expires_at="2026-03-01T14:00:00+01:00"),
    "time-naive": _grant("a time without a zone", expires_at="2026-03-01T13:00:00"),
    "time-with-zero-fraction": _grant("a fraction of zero", expires_at="2026-03-01T13:00:00.000000Z"),
    "time-with-short-fraction": _grant("a fraction of three digits", expires_at="2026-03-01T13:00:00.500Z"),
    "time-in-lower-case": _grant("t and z in lower case", expires_at="2026-03-01t13:00:00z"),
    "time-as-number": _grant("a time as a number", expires_at=1_772_370_000),
    "lasts-longer-than-its-content": _letter(
        "not_after beyond the last expiry inside", not_after=NOW + timedelta(hours=1, microseconds=1)
    ),
    "token-without-expiry": _json(
        "a session token without an expiry", lambda value: value["grants"][0].pop("expires_at")
    ),
    "expiry-without-token": _json(
        "an expiry without a session token", lambda value: value["grants"][0].pop("session_token")
    ),
    "key-with-newline": _grant("a line break in an access key id", access_key_id="ASIA\nLD_PRELOAD=/tmp/x"),
    "secret-with-space": _grant("a space in a secret", secret_access_key="a b"),
    "region-of-another-host": _grant("a region that makes another host of S3's name", region="eu.example/"),
    "principal-with-c1-control": _grant("a control character beyond ASCII in a principal", principal="ada\x9b2J"),
    "region-with-control": _grant("a control character in a region", region="eu\x1b[2J"),
    "bundle-id-in-capitals": _json(
        "a bundle id in capitals", lambda value: value.update(bundle_id=value["bundle_id"].upper())
    ),
    "no-variables": _grant("an environment grant without variables", variables(A="b"), variables={}),
    "variable-with-nul": _grant("a NUL in a variable", variables(A="b"), variables={"A": "x\x00y"}),
    "variable-not-text": _grant("a number as a variable", variables(A="b"), variables={"A": 1}),
    "variable-name-beyond-ascii": _grant(
        "a variable named in another script", variables(A="b"), variables={"SCHLÜSSEL": "x"}
    ),
    "role-for-too-long": _grant(
        "a role for a day", AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r"), duration_s=86_400
    ),
    "chained-role-for-too-long": _grant(
        "a role from a session for two hours",
        AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", session=aws_session()),
        duration_s=7_200,
    ),
    "duration-left-out": _json(
        "a role without its duration",
        lambda value: value["grants"][0].pop("duration_s"),
        AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r"),
    ),
    "session-of-another-kind": _json(
        "a Google token where a session belongs",
        lambda value: value["grants"][0]["session"].update(kind="google-access-token"),
        AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", session=aws_session()),
    ),
    "lone-surrogate": _raw("half a character", lambda plain: plain.replace(b"ASIA", b"\\ud800")),
    "not-an-object": _raw("a list", lambda _: b"[]"),
    "empty-content": _raw("nothing inside", lambda _: b""),
    "deeply-nested-field": _raw(
        "an unknown field of five thousand brackets",
        lambda plain: plain[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ),
    "deeply-nested-grants": _raw(
        "five thousand brackets for grants",
        lambda plain: b'{"grants":' + b"[" * 5000 + b"]" * 5000 + plain[plain.index(b',"issued_at"') :],
    ),
    "time-after-the-year-9999": _grant("a time whose UTC has no year", expires_at="9999-12-31T23:59:59-14:00"),
    "time-before-the-year-1": _grant("a time whose UTC has no year", expires_at="0001-01-01T00:00:00+14:00"),
    "issued-after-the-year-9999": _json(
        "a time of the header whose UTC has no year", lambda value: value.update(issued_at="9999-12-31T23:59:59-14:00")
    ),
    "deeply-nested": _raw("a thousand brackets", lambda _: b"[" * 1000 + b"]" * 1000),
}
