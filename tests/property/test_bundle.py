"""Whatever is sealed is opened again as it was; whatever is touched on its way is refused."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from credagent.bundle import base64url, envelope, opening, sealing, signature, validation
from credagent.bundle.contents import (
    SLOT_OF_GRANT,
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
)
from credagent.bundle.decoder import canonical_form, decode
from credagent.bundle.timestamps import NUMBER_LIMIT, microseconds_of, moment_of
from credagent.credentials import Slot, Statement
from credagent.errors import Refused
from credagent.secret import Secret
from tests.unit.bundle.published.recipe import MACHINE, MACHINE_X25519, SENDER, aws_session, letter

PREFIX = "credagent-bundle:1:"
EARLIEST = datetime(1970, 1, 1)  # noqa: DTZ001  hypothesis adds the zone
LATEST = datetime(2250, 1, 1)  # noqa: DTZ001  hypothesis adds the zone

moments = st.integers(0, NUMBER_LIMIT - 1).map(moment_of)
tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)
secrets = tokens.map(Secret)
unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
full_lines = lines.filter(bool)
scopes = st.lists(lines, max_size=3).map(tuple)
names = st.text(string.ascii_letters + "_", min_size=1, max_size=12)

regions = st.just("") | st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=20)

sessions = st.builds(
    AwsSessionGrant,
    access_key_id=tokens,
    secret_access_key=secrets,
    session_token=secrets,
    expires_at=moments,
    region=regions,
    principal=lines,
)
roles = st.builds(
    AwsAssumeRoleGrant,
    role_arn=full_lines,
    session_name=lines,
    external_id=lines,
    duration_s=st.integers(900, 3_600),
    policy=lines,
    tags=st.dictionaries(names, lines, max_size=3),
    region=regions,
    session=st.none() | sessions,
)
google_tokens = st.builds(
    GoogleAccessTokenGrant, access_token=secrets, expires_at=moments, email=lines, project=lines, scopes=scopes
)
google_users = st.builds(
    GoogleAuthorizedUserGrant,
    client_id=full_lines,
    client_secret=secrets,
    refresh_token=secrets,
    token_uri=full_lines,
    project=lines,
    scopes=scopes,
)
google_targets = st.builds(
    GoogleImpersonationGrant,
    target=full_lines,
    lifetime_s=st.integers(1, 43_200),
    project=lines,
    scopes=scopes,
    token=st.none() | google_tokens,
)
values = unicode_texts.filter(lambda text: "\0" not in text).map(Secret)
environments = st.builds(EnvironmentGrant, variables=st.dictionaries(names, values, min_size=1, max_size=5))
withheld = st.sampled_from([Statement.DECLINED, Statement.UNAVAILABLE, Statement.WITHDRAWN])
audiences = lines.filter(lambda text: 1 <= len(text.encode()) <= 255)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Draw any sound bundle."""
    grants = tuple(
        grant
        for grant in (
            draw(st.none() | sessions | roles),
            draw(st.none() | google_tokens | google_users | google_targets),
            draw(st.none() | environments),
        )
        if grant is not None
    )
    granted = {SLOT_OF_GRANT[type(grant)] for grant in grants}
    issued = draw(st.integers(0, NUMBER_LIMIT - 2))
    end = validation.last_end(grants)
    latest = microseconds_of(end) if end is not None else NUMBER_LIMIT - 1
    assume(issued < latest)
    return Bundle(
        bundle_id=draw(st.binary(min_size=16, max_size=16)).hex(),
        sequence=draw(st.integers(1, NUMBER_LIMIT - 1)),
        audience=draw(audiences),
        issued_at=moment_of(issued),
        not_after=moment_of(draw(st.integers(issued + 1, latest))),
        slots={slot: Statement.GRANTED if slot in granted else draw(withheld) for slot in Slot},
        grants=grants,
    )


def _read(text: str) -> Bundle:
    parsed = envelope.parse(text)
    signature.verify_signature(parsed)
    return opening.open_envelope(parsed, [MACHINE])


def _refused(text: str) -> bool:
    try:
        _read(text)
    except Refused:
        return True
    return False


SEALED = sealing.seal(letter(aws_session()), [MACHINE.public_key, MACHINE_X25519.public_key], SENDER)
BINARY = base64url.decode(SEALED.removeprefix(PREFIX))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(bundles())
def test_any_sound_bundle_is_opened_as_it_was_sealed(bundle: Bundle) -> None:
    text = sealing.seal(bundle, [MACHINE.public_key], SENDER)
    assert envelope.parse(text).text == text
    assert _read(text) == bundle


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(bundles())
def test_any_sound_bundle_has_one_plaintext(bundle: Bundle) -> None:
    plaintext = canonical_form(bundle)
    assert decode(plaintext) == bundle
    assert canonical_form(decode(plaintext)) == plaintext


@settings(max_examples=300)
@given(st.integers(0, len(BINARY) * 8 - 1))
def test_no_bit_can_be_flipped(bit: int) -> None:
    bent = bytearray(BINARY)
    bent[bit // 8] ^= 1 << bit % 8
    assert _refused(PREFIX + base64url.encode(bytes(bent)))


@given(st.integers(0, len(SEALED) - 1))
def test_no_cut_is_overlooked(length: int) -> None:
    assert _refused(SEALED[:length])


@given(st.integers(0, len(SEALED)), st.characters())
@example(len(SEALED), " ")
def test_nothing_can_be_inserted_but_one_newline_at_the_end(at: int, character: str) -> None:
    assume((at, character) != (len(SEALED), "\n"))
    assert _refused(SEALED[:at] + character + SEALED[at:])


@given(st.integers(0, len(SEALED) - 1), st.characters())
def test_no_character_can_be_replaced(at: int, character: str) -> None:
    assume(SEALED[at] != character)
    assert _refused(SEALED[:at] + character + SEALED[at + 1 :])


@given(st.binary(max_size=400) | st.text(max_size=400))
def test_noise_is_refused_and_never_more(noise: bytes | str) -> None:
    raw = noise if isinstance(noise, bytes) else noise.encode("utf-8", "replace")
    for text in (noise, PREFIX + base64url.encode(raw)):
        try:
            envelope.parse(text)
        except Refused:
            continue
        raise AssertionError(text)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_noise_as_plaintext_is_refused_and_never_more(plaintext: bytes) -> None:
    try:
        decode(plaintext)
    except Refused:
        return
    raise AssertionError(plaintext)


@given(st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)))
def test_times_keep_every_microsecond(moment: datetime) -> None:
    assert moment_of(microseconds_of(moment)) == moment
    assert moment_of(microseconds_of(moment) + 1) - moment == timedelta(microseconds=1)
