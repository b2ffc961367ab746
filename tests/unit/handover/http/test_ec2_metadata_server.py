"""EC2 instance metadata for intercepted connections: credentials and a region to whoever has a session token."""

from datetime import datetime, timedelta

import pytest

from credagent.credentials import SlotContent
from credagent.handover.http.ec2_metadata_server import Ec2Metadata, respond
from credagent.handover.http.ec2_session_token import SessionTokens
from credagent.handover.http.response import HttpResponse
from tests.unit.handover.http.endpoint_sets import NOW, UNUSABLE, aws, body, decoded, request

WORKER = 1000
FOLDER = "/latest/meta-data/iam/security-credentials"
SERVICE = Ec2Metadata(tokens=SessionTokens())


def token(ttl: str = "60", *, uid: int = WORKER, service: Ec2Metadata = SERVICE) -> HttpResponse:
    asked = request("/latest/api/token", "PUT", **{"x-aws-ec2-metadata-token-ttl-seconds": ttl} if ttl else {})
    return respond(asked, aws(), NOW, service, uid=uid, region="")


def ask(
    path: str,
    content: SlotContent | None = None,
    *,
    shown: str | None = "",
    now: datetime = NOW,
    uid: int = WORKER,
    method: str = "GET",
    region: str = "eu-north-1",
    service: Ec2Metadata = SERVICE,
) -> HttpResponse:
    """Ask with a token of the worker's, with `shown` in its place, or (None) without."""
    shown = body(token()).decode() if shown == "" else shown
    headers = {} if shown is None else {"x-aws-ec2-metadata-token": shown}
    return respond(request(path, method, **headers), content or aws(), now, service, uid=uid, region=region)


def test_credentials_have_the_fields_that_every_sdk_reads() -> None:
    assert body(ask(f"{FOLDER}/")) == b"credagent"
    assert decoded(ask(f"{FOLDER}/credagent")) == {
        "Code": "Success",
        "LastUpdated": "2026-11-22T12:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2026-11-22T13:00:00Z",
    }


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "9" * 4000, "²"])
def test_a_token_needs_seconds_that_ec2_would_take(ttl: str) -> None:
    assert token(ttl).status == 400


def test_a_token_is_for_its_user_its_seconds_and_this_agent() -> None:
    made = body(token("60")).decode()
    assert b"x-aws-ec2-metadata-token-ttl-seconds: 60\r\n" in token("60").payload
    assert ask(FOLDER, shown=made).status == 200
    assert ask(FOLDER, shown=made, now=NOW + timedelta(seconds=60)).status == 401
    assert ask(FOLDER, shown=made, uid=WORKER + 1).status == 401
    assert ask(FOLDER, shown=made, service=Ec2Metadata(tokens=SessionTokens())).status == 401


@pytest.mark.parametrize("shown", ["x", "A" * 44, "=" * 44, "\xff" * 44, "A" * 4_000])
def test_a_made_up_token_is_refused_also_where_none_is_needed(shown: str) -> None:
    optional = Ec2Metadata(tokens=SERVICE.tokens, session_tokens_optional=True)
    for service in (SERVICE, optional):
        assert ask(FOLDER, shown=shown, service=service).outcome == "wrong-session-token"
    assert ask(FOLDER, shown=None).outcome == "no-session-token"
    assert ask(FOLDER, shown=None, service=optional).status == 200


@pytest.mark.parametrize("path", [FOLDER, f"{FOLDER}/credagent"])
@pytest.mark.parametrize(("content", "status", "outcome"), UNUSABLE)
def test_what_is_not_complete_and_valid_is_an_error(path: str, content: SlotContent, status: int, outcome: str) -> None:
    answer = ask(path, content)
    assert (answer.status, answer.outcome) == (status, outcome)


def test_a_region_is_told_in_each_of_the_ways_that_clients_ask_for_it() -> None:
    assert body(ask("/latest/meta-data/placement/region")) == b"eu-north-1"
    assert body(ask("/latest/meta-data/placement/availability-zone/"))[:-1] == b"eu-north-1"
    assert decoded(ask("/latest/dynamic/instance-identity/document")) == {"region": "eu-north-1"}
    for path in ("meta-data/placement/region", "dynamic/instance-identity/document"):
        assert ask(f"/latest/{path}", region="").outcome == "no-region"


@pytest.mark.parametrize(
    "path",
    [
        "/latest/user-data",
        "/latest/meta-data/instance-id",
        "/latest/meta-data/iam/info",
        "/latest/meta-data/iam/security-credentials/dask-node",
        "/latest/meta-data/iam/security-credentials-extended",
        "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
        "/latest/dynamic/instance-identity/signature",
        "/latest",
        "/latestx",
    ],
)
def test_what_is_not_for_workers_is_refused(path: str) -> None:
    assert ask(path).outcome == "not-for-workers"


@pytest.mark.parametrize("method", ["PUT", "POST", "HEAD"])
def test_nothing_but_a_token_is_put(method: str) -> None:
    assert ask(FOLDER, method=method).status == 405
