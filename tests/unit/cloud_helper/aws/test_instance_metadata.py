"""What botocore calls "no credentials", told apart by what the service answered."""

from typing import Any

import pytest

from credagent.cloud_helper.aws.instance_metadata import verdict
from credagent.cloud_helper.aws.recording_session import Exchange

TOKEN, ROLES = "/latest/api/token", "/latest/meta-data/iam/security-credentials/"
TOKEN_GIVEN = Exchange(method="PUT", path=TOKEN, status=200, body=b"AQAE==")
ROLE_GIVEN = Exchange(method="GET", path=ROLES, status=200, body=b"dask-node\n")


def token(**outcome: Any) -> tuple[Exchange, ...]:
    return (Exchange(method="PUT", path=TOKEN, **outcome),)


def role(**outcome: Any) -> tuple[Exchange, ...]:
    return (TOKEN_GIVEN, Exchange(method="GET", path=ROLES, **outcome))


def credentials(**outcome: Any) -> tuple[Exchange, ...]:
    return (TOKEN_GIVEN, ROLE_GIVEN, Exchange(method="GET", path=ROLES + "dask-node", **outcome))


@pytest.mark.parametrize(
    ("exchanges", "code"),
    [
        (token(status=400), "metadata-refused"),
        (token(status=401), "metadata-refused"),
        (token(status=403), "metadata-disabled"),
        (token(status=429), "throttled"),
        (token(status=500), "service-error"),
        (token(status=503), "service-error"),
        (token(status=200, body=b""), "metadata-malformed"),
        (token(status=200, body=b"two words"), "metadata-malformed"),
        (token(silence="read"), "metadata-unreachable"),
        (token(silence="connect"), "metadata-unreachable"),
        (token(silence="cut"), "metadata-malformed"),
        (role(status=401), "metadata-refused"),
        (role(status=404), "no-role"),
        (role(status=429), "throttled"),
        (role(status=500), "service-error"),
        (role(status=200, body=b""), "metadata-malformed"),
        (role(status=200, body=b"<html>"), "metadata-malformed"),
        (role(status=200, body=b"dask-", silence="cut"), "metadata-malformed"),
        (role(silence="read"), "metadata-unreachable"),
        (credentials(status=401), "metadata-refused"),
        (credentials(status=404), "no-role"),
        (credentials(status=500), "service-error"),
        (credentials(status=200, body=b"{"), "metadata-malformed"),
        (credentials(status=200, body=b""), "metadata-malformed"),
        (credentials(silence="read"), "metadata-unreachable"),
    ],
)
def test_each_trouble_on_an_amazon_machine_has_its_code(exchanges: tuple[Exchange, ...], code: str) -> None:
    assert verdict(exchanges, made_by="amazon").code == code


def test_a_token_that_gets_lost_while_the_service_answers_is_a_hop_limit() -> None:
    lost = token(silence="read")
    assert verdict(lost, made_by="amazon", answers_without_token=True).code == "hop-limit"


@pytest.mark.parametrize(
    "exchanges", [token(silence="connect"), token(status=404), token(status=405), token(status=400)]
)
def test_a_machine_of_nobody_has_no_identity(exchanges: tuple[Exchange, ...]) -> None:
    assert verdict(exchanges).code == "no-identity"


def test_a_service_whose_place_was_configured_is_expected_to_answer() -> None:
    assert verdict(token(silence="connect"), named=True).code == "metadata-unreachable"


@pytest.mark.parametrize("status", [200, 403, 404, 405])
def test_googles_metadata_server_is_no_trouble_of_amazons(status: int) -> None:
    assert verdict(token(status=status, google=True)).code == "no-identity"
