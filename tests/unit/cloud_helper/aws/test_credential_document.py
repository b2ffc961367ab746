from datetime import UTC, datetime, timedelta

import pytest

from credagent.cloud_helper.aws.credential_document import (
    LONGEST_SESSION,
    bounded_expiry,
    credentials_from,
    parsed_expiry,
)
from credagent.cloud_helper.failures import CloudFailure

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD = {
    "Code": "Success",
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2026-11-23T18:00:00Z",
}


def test_a_good_document_becomes_credentials_that_end_when_the_service_said() -> None:
    credentials, notices = credentials_from(GOOD, region="eu-west-1", now=NOW, skew_s=0.0)
    assert credentials.access_key_id == "ASIAEXAMPLE"
    assert credentials.expires_at == NOW + timedelta(hours=6)
    assert credentials.region == "eu-west-1"
    assert notices == ()


def test_an_expiry_that_is_near_is_not_stretched() -> None:
    near = {**GOOD, "Expiration": "2026-11-23T12:00:20Z"}
    assert credentials_from(near, region="", now=NOW, skew_s=None)[0].expires_at == NOW + timedelta(seconds=20)


@pytest.mark.parametrize("name", ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
@pytest.mark.parametrize("value", [None, "", 7, "two\nlines"])
def test_half_a_document_hands_out_nothing(name: str, value: object) -> None:
    with pytest.raises(CloudFailure) as raised:
        credentials_from({**GOOD, name: value}, region="", now=NOW, skew_s=None)
    assert raised.value.code == "metadata-malformed"


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_what_is_no_document_hands_out_nothing(document: object) -> None:
    with pytest.raises(CloudFailure) as raised:
        credentials_from(document, region="", now=NOW, skew_s=None)
    assert raised.value.code == "metadata-malformed"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("AssumeRoleUnauthorizedAccess", "Code AssumeRoleUnauthorizedAccess"),
        ("a secret?", "an unknown Code"),
        (7, "an unknown Code"),
    ],
)
def test_another_code_than_success_hands_out_nothing(code: object, shown: str) -> None:
    with pytest.raises(CloudFailure) as raised:
        credentials_from({**GOOD, "Code": code}, region="", now=NOW, skew_s=None)
    assert (raised.value.code, raised.value.detail) == ("role-unusable", shown)


def test_container_credentials_have_no_code() -> None:
    document = {name: value for name, value in GOOD.items() if name != "Code"}
    assert credentials_from(document, region="", now=NOW, skew_s=None)[0].access_key_id == "ASIAEXAMPLE"


@pytest.mark.parametrize(
    "text", ["2026-11-23T18:00:00Z", "2026-11-23T18:00:00.123Z", "2026-11-23T20:00:00+02:00", "20261123T180000Z"]
)
def test_an_expiry_with_an_offset_is_understood(text: str) -> None:
    assert parsed_expiry(text).replace(microsecond=0) == datetime(2026, 11, 23, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["tomorrow", "1764000000", "2026-11-23T18:00:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00"]
)
def test_an_expiry_in_a_strange_format_hands_out_nothing(text: str) -> None:
    with pytest.raises(CloudFailure) as raised:
        parsed_expiry(text)
    assert raised.value.code == "expiry-malformed"


def test_an_expiry_in_the_past_hands_out_nothing() -> None:
    with pytest.raises(CloudFailure) as raised:
        bounded_expiry(NOW - timedelta(minutes=5), now=NOW, skew_s=0.0)
    assert (raised.value.code, raised.value.detail) == ("expiry-past", "300 s ago")


def test_an_expiry_in_the_past_is_blamed_on_our_clock_where_that_is_an_hour_ahead() -> None:
    with pytest.raises(CloudFailure) as raised:
        bounded_expiry(NOW - timedelta(minutes=5), now=NOW, skew_s=-3600.0)
    assert raised.value.code == "clock-skew"


def test_an_expiry_in_the_far_future_is_shortened_to_the_longest_session() -> None:
    expires_at, notices = bounded_expiry(datetime(2099, 1, 1, tzinfo=UTC), now=NOW, skew_s=None)
    assert expires_at == NOW + LONGEST_SESSION
    assert [notice.code for notice in notices] == ["expiry-far"]


def test_a_wrong_clock_is_a_notice_while_it_does_no_harm() -> None:
    _, notices = bounded_expiry(NOW + timedelta(hours=6), now=NOW, skew_s=3600.0)
    assert [notice.code for notice in notices] == ["clock-skew"]
