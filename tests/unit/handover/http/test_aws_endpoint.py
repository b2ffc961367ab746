"""The AWS endpoint: complete and valid credentials to whoever has the token, else an error that says why."""

from datetime import datetime, timedelta

import pytest

from credagent.credentials import CredentialSet, Empty, SlotContent
from credagent.handover.http.aws_endpoint import PATH, respond
from credagent.handover.http.response import HttpResponse
from credagent.secret import Secret
from tests.unit.handover.http.endpoint_sets import HOUR, NOW, UNUSABLE, aws, decoded, google, holding, request

TOKEN = "the-token-of-this-boot"


def ask(current: CredentialSet, *, now: datetime = NOW, token: str = TOKEN, method: str = "GET") -> HttpResponse:
    return respond(request(PATH, method, authorization=token), current.aws, now, Secret(TOKEN))


def test_an_answer_has_the_four_fields_that_every_sdk_reads() -> None:
    answer = ask(holding(aws=aws()))
    assert answer.status == 200
    assert decoded(answer) == {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2026-11-22T13:00:00Z",
    }
    assert b"Content-Type: application/json\r\n" in answer.payload
    assert b"Cache-Control: no-store\r\n" in answer.payload


@pytest.mark.parametrize("token", ["", "the-token-of-this-boo", TOKEN + "x", f"Bearer {TOKEN}", "\xff"])
def test_nothing_is_answered_without_the_exact_token(token: str) -> None:
    answer = ask(holding(aws=aws()), token=token)
    assert (answer.status, answer.outcome) == (401, "wrong-token")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_only_get_is_answered(method: str) -> None:
    assert ask(holding(aws=aws()), method=method).status == 405


@pytest.mark.parametrize(
    ("content", "status", "outcome"),
    [
        *UNUSABLE,
        (aws(None, session_token=None), 503, "long-term"),
        (aws(session_token=Secret("")), 503, "long-term"),
        (google(), 503, "long-term"),
    ],
)
def test_what_is_not_complete_and_valid_is_an_error(content: SlotContent, status: int, outcome: str) -> None:
    answer = ask(CredentialSet(generation=1, aws=content))
    assert (answer.status, answer.outcome) == (status, outcome)
    assert set(decoded(answer)) == {"code", "message", "error", "error_description"}


def test_expiry_is_judged_at_every_answer_and_not_when_it_was_prepared() -> None:
    current = holding(aws=aws())
    times = (NOW, NOW + HOUR - timedelta(seconds=1), NOW + HOUR)
    assert [ask(current, now=now).status for now in times] == [200, 200, 503]


def test_a_new_set_is_answered_at_once() -> None:
    assert decoded(ask(holding(1, aws=aws())))["AccessKeyId"] == "ASIAEXAMPLE"
    assert decoded(ask(holding(2, aws=aws(access_key_id="ASIANEW"))))["AccessKeyId"] == "ASIANEW"
    assert ask(holding(3, aws=Empty(withdrawn=True))).status == 404


def test_no_answer_shows_what_it_carries() -> None:
    assert "secret" not in repr(ask(holding(aws=aws())))
