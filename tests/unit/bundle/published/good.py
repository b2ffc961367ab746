"""The good vectors: each a sound envelope that its machine admits, and what it holds."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from credagent.bundle.contents import AwsAssumeRoleGrant, Bundle, GoogleAuthorizedUserGrant, GoogleImpersonationGrant
from credagent.credentials import Slot, Statement
from credagent.secret import Secret
from tests.unit.bundle.published.recipe import (
    MACHINE,
    MACHINE_X25519,
    NOW,
    OTHER_SENDER,
    SENDER,
    STRANGER,
    Case,
    PlayKms,
    all_keys,
    aws_session,
    digest,
    document,
    draft,
    google_token,
    in_force,
    letter,
    marks,
    variables,
)

MICROSECOND = timedelta(microseconds=1)


def _new(description: str, bundle: Bundle, text: str = "", **more: Any) -> Case:
    text = text or draft(bundle).text
    return Case(description=description, text=text, outcome="new", plaintext=document(bundle), **more)


def _again(description: str, bundle: Bundle, *, now_after_s: int, reading: str) -> Case:
    text = draft(bundle).text
    machine = {
        "in_force": in_force(SENDER, bundle.issued_at, digest(text)),
        "marks": marks((SENDER, bundle.sequence, digest(text))),
    }
    return Case(
        description=description,
        text=text,
        outcome="again",
        plaintext=document(bundle),
        machine=machine,
        now=NOW + timedelta(seconds=now_after_s),
        reading=reading,
    )


def _kms(description: str, *references: str, also: tuple[Any, ...] = ()) -> Case:
    holders = [PlayKms(reference) for reference in references]
    bundle = letter(aws_session())
    text = draft(bundle, *holders, *also).text
    machine = {"kms": [holder.answers for holder in holders], "recipient_keys": []}
    return _new(description, bundle, text, machine=machine)


def _everything() -> Case:
    text_with_newlines = '-----BEGIN THING-----\n"\\\t\x01\u2028é😀\n-----END THING-----\n'
    bundle = letter(
        aws_session(region="eu-central-1", principal="arn:aws:sts::123456789012:assumed-role/reader/ada"),
        google_token(
            email="ada@example.com", project="p-1", scopes=("https://www.googleapis.com/auth/cloud-platform",)
        ),
        variables(DB_TOKEN="t0ken", EMPTY="", PEM=text_with_newlines),
    )
    return _new("a grant for each slot; a text with every kind of escape; a variable with an empty value", bundle)


def _assume_with_machine() -> Case:
    grant = AwsAssumeRoleGrant(
        role_arn="arn:aws:iam::123456789012:role/reader",
        session_name="ada",
        external_id="x-1",
        duration_s=43_200,
        policy='{"Version":"2012-10-17","Statement":[]}',
        tags={"project": "p", "cost centre": "42"},
        region="eu-west-1",
    )
    return _new("a role that the machine's own identity assumes, with every field", letter(grant))


def _assume_with_session() -> Case:
    grant = AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/reader", session=aws_session())
    return _new("a role assumed from a forwarded session: not_after outlives the session", letter(grant))


def _impersonations() -> Mapping[str, Callable[[], Case]]:
    own = GoogleImpersonationGrant(target="reader@p-1.iam.gserviceaccount.com", lifetime_s=43_200)
    forwarded = GoogleImpersonationGrant(target="reader@p-1.iam.gserviceaccount.com", token=google_token())
    return {
        "impersonation-by-the-machine": lambda: _new("a service account, for half a day", letter(own)),
        "impersonation-by-a-token": lambda: _new("a service account, by a forwarded token", letter(forwarded)),
    }


def _refresh_token() -> Case:
    grant = GoogleAuthorizedUserGrant(
        client_id="id.apps.googleusercontent.com",
        client_secret=Secret("client-secret"),
        refresh_token=Secret("1//refresh"),
        scopes=("openid", "email"),
    )
    machine = {"admit_refresh_token": True}
    return _new("a Google refresh token, where the machine says it admits them", letter(grant), machine=machine)


def _long_term() -> Case:
    grant = aws_session(access_key_id="AKIATESTVECTOR000001", session_token=None, expires_at=None)
    return _new("a long-term AWS key, where admitted", letter(grant), machine={"admit_long_term": True})


def _statements() -> Case:
    slots = {
        Slot.AWS: Statement.UNAVAILABLE,
        Slot.GOOGLE: Statement.DECLINED,
        Slot.ENVIRONMENT: Statement.WITHDRAWN,
    }
    return _new("nothing is granted: one slot is unavailable, one declined, one withdrawn", letter(slots=slots))


def _three_recipients() -> Case:
    bundle = letter(aws_session())
    text = draft(bundle, STRANGER.public_key, MACHINE_X25519.public_key, MACHINE.public_key).text
    machine = {"recipient_keys": all_keys([MACHINE_X25519])}
    return _new("three recipients of two kinds; the machine holds the second", bundle, text, machine=machine)


def _newline() -> Case:
    bundle = letter()
    return _new("one newline after the text is ignored", bundle, draft(bundle).text + "\n")


def _audience(name: str, description: str, **machine: Any) -> Case:
    return _new(description, letter(audience=name), machine=machine)


def _ahead() -> Case:
    bundle = letter(issued_at=NOW + timedelta(minutes=5), not_after=NOW + timedelta(hours=1))
    return _new("made five minutes ahead of the machine's clock: just admissible", bundle)


def _oldest() -> Case:
    return _new("first seen exactly max_age after it was made", letter(), now=NOW + timedelta(days=1))


def _last_microsecond() -> Case:
    bundle = letter(not_after=NOW + timedelta(hours=1))
    return _new("a microsecond before its end", bundle, now=NOW + timedelta(hours=1) - MICROSECOND)


def _next_number() -> Case:
    bundle = letter()
    return _new(
        "one above the mark of its sender, whose clock stood still",
        bundle,
        machine={"marks": marks((SENDER, bundle.sequence - 1, "00" * 32))},
    )


def _marked_before() -> Case:
    bundle = letter()
    text = draft(bundle).text
    return _new(
        "the newest of its sender, admitted days ago and not in force: max_age does not count",
        bundle,
        text,
        machine={"marks": marks((SENDER, bundle.sequence, digest(text)))},
        now=NOW + timedelta(days=3),
    )


def _later_rival() -> Case:
    machine = {
        "trusted_senders": [SENDER.public_key.line, OTHER_SENDER.public_key.line],
        "marks": marks((OTHER_SENDER, 2**52, "11" * 32)),
        "in_force": in_force(OTHER_SENDER, NOW - MICROSECOND, "11" * 32),
    }
    return _new(
        "issued after the bundle in force of another sender, whose numbers do not count", letter(), machine=machine
    )


def _removed_rival() -> Case:
    machine = {"in_force": in_force(OTHER_SENDER, NOW + timedelta(hours=1), "11" * 32)}
    return _new("the later bundle in force is of a sender no longer trusted", letter(), machine=machine)


def _excepted() -> Case:
    bundle = letter(variables(Curl_Ca_Bundle="/etc/ssl/x.pem", GDAL_CACHEMAX="64"))
    return _new(
        "a denied variable, excepted by the machine in another case", bundle, machine={"allow": ["CURL_CA_BUNDLE"]}
    )


def _fractions() -> Case:
    bundle = letter(
        aws_session(expires_at=NOW + timedelta(hours=1, microseconds=7)),
        issued_at=NOW - timedelta(microseconds=500_000),
    )
    return _new("times with fractions of a second", bundle)


GOOD: Mapping[str, Callable[[], Case]] = {
    "nothing-granted": lambda: _new("the smallest: every slot declined", letter()),
    "aws-session": lambda: _new("an AWS session for one X-Wing key", letter(aws_session())),
    "x25519": lambda: _new(
        "the same for an X25519 key",
        letter(aws_session()),
        draft(letter(aws_session()), MACHINE_X25519.public_key).text,
    ),
    "a-grant-for-each-slot": _everything,
    "assume-role-by-the-machine": _assume_with_machine,
    "assume-role-from-a-session": _assume_with_session,
    **_impersonations(),
    "refresh-token-admitted": _refresh_token,
    "long-term-key-admitted": _long_term,
    "unavailable-declined-withdrawn": _statements,
    "three-recipients": _three_recipients,
    "aws-kms": lambda: _kms("a key in AWS KMS", "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/test-vector"),
    "gcp-kms": lambda: _kms("a key in Google KMS", "gcp-kms:projects/p/locations/global/keyRings/r/cryptoKeys/k"),
    "kms-of-two-clouds": lambda: _kms(
        "four kinds of recipient, keys in KMS alone held here",
        "gcp-kms:projects/p/locations/global/keyRings/r/cryptoKeys/k",
        "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/test-vector",
        also=(STRANGER.public_key, MACHINE_X25519.public_key),
    ),
    "trailing-newline": _newline,
    "any-audience-with-own-key": lambda: _audience(
        "elsewhere", "no audience here, and the key is this machine's own", audience="", keys_are_own=True
    ),
    "audience-beyond-ascii": lambda: _audience("größe-😀", "an audience in UTF-8", audience="größe-😀"),
    "audience-of-255-bytes": lambda: _audience("a" * 255, "the longest audience", audience="a" * 255),
    "five-minutes-ahead": _ahead,
    "as-old-as-max-age": _oldest,
    "last-microsecond": _last_microsecond,
    "one-above-the-mark": _next_number,
    "marked-but-not-in-force": _marked_before,
    "later-than-another-sender": _later_rival,
    "after-a-removed-sender": _removed_rival,
    "variable-excepted": _excepted,
    "fractions-of-seconds": _fractions,
    "in-force-seen-again": lambda: _again(
        "the bundle in force, on its channel for days and ended",
        letter(aws_session()),
        now_after_s=500_000,
        reading="delivery",
    ),
    "in-force-after-a-restart": lambda: _again(
        "an ended bundle in force, after a restart: its slots stay granted",
        letter(aws_session()),
        now_after_s=500_000,
        reading="restart",
    ),
    "restart-with-a-clock-at-1970": lambda: _again(
        "a restart before the machine knows the time",
        letter(aws_session()),
        now_after_s=-1_772_366_400,
        reading="restart",
    ),
}
