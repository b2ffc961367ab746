from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from credagent.cloud_helper.aws.assume_role import _parameters
from credagent.cloud_helper.aws.sts_session import account_of, session_from, session_name
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.tokens import LONGEST_TOKEN, obtained
from credagent.cloud_helper.job_requests import AwsAssumeRole
from credagent.credentials import Origin

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("asked", "name"),
    [("", "credagent"), ("a", "credagent"), ("ada", "ada"), ("ada lovelace/ü", "ada-lovelace--"), ("x" * 90, "x" * 64)],
)
def test_a_session_name_is_one_that_sts_accepts(asked: str, name: str) -> None:
    assert session_name(asked) == name


def test_tags_that_a_bundle_names_end_with_the_session_they_were_asked_for() -> None:
    """A transitive tag would go on into roles that are assumed from it, past what the configuration lists."""
    role = "arn:aws:iam::123456789012:role/reader"
    asked = _parameters(AwsAssumeRole(role_arn=role, tags={"team": "a", "TransitiveTagKeys": "team"}))
    assert asked == {
        "RoleArn": role,
        "RoleSessionName": "credagent",
        "Tags": [{"Key": "TransitiveTagKeys", "Value": "team"}, {"Key": "team", "Value": "a"}],
    }


@pytest.mark.parametrize(
    ("arn", "account"), [("arn:aws:sts::123456789012:assumed-role/a/b:c", "123456789012"), ("", ""), ("arn:aws", "")]
)
def test_the_account_is_in_the_arn(arn: str, account: str) -> None:
    assert account_of(arn) == account


def test_a_session_keeps_the_expiry_that_sts_gave_it() -> None:
    expiration = NOW.replace(microsecond=0) + timedelta(minutes=20)
    issued = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": expiration}
    session = session_from({"Credentials": issued}, region="eu-west-1", origin=Origin.ASSUMED_ROLE, method="m")
    assert session.credentials.expires_at == expiration
    assert session.credentials.region == "eu-west-1"


@pytest.mark.parametrize("response", [{}, {"Credentials": {}}, {"Credentials": {"Expiration": NOW}}])
def test_an_answer_without_a_session_hands_out_nothing(response: dict[str, Any]) -> None:
    with pytest.raises(CloudFailure) as raised:
        session_from(response, region="", origin=Origin.ASSUMED_ROLE, method="m")
    assert raised.value.code == "malformed-answer"


def refreshed(**fields: object) -> Any:
    naive = (NOW + timedelta(hours=1)).replace(tzinfo=None)  # as google-auth has it
    return SimpleNamespace(**{"token": "ya29.x", "expiry": naive, **fields})


def test_a_google_token_expires_in_utc() -> None:
    token = obtained(refreshed(), origin=Origin.GOOGLE_METADATA, scopes=("s",), email="a@b", now=NOW)
    assert token.token.expires_at == NOW + timedelta(hours=1)
    assert (token.principal, token.token.scopes) == ("a@b", ("s",))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": None}, "malformed-answer"),
        ({"token": ""}, "malformed-answer"),
        ({"token": "two\nlines"}, "malformed-answer"),
        ({"expiry": None}, "malformed-answer"),
        ({"expiry": NOW - timedelta(seconds=5)}, "expiry-past"),
    ],
)
def test_a_google_token_that_is_none_is_not_handed_out(fields: dict[str, object], code: str) -> None:
    with pytest.raises(CloudFailure) as raised:
        obtained(refreshed(**fields), origin=Origin.GOOGLE_METADATA, scopes=(), now=NOW)
    assert raised.value.code == code


def test_a_google_expiry_in_the_far_future_is_shortened() -> None:
    far = obtained(refreshed(expiry=NOW + timedelta(days=999)), origin=Origin.GOOGLE_METADATA, scopes=(), now=NOW)
    assert far.token.expires_at == NOW + LONGEST_TOKEN
    assert [notice.code for notice in far.notices] == ["expiry-far"]
