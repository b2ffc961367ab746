"""Service accounts that are impersonated, by the machine's identity and by forwarded tokens, with real google-auth."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.cloud_helper.job_requests import GoogleImpersonate
from credagent.credentials import GoogleToken, Origin
from credagent.secret import Secret
from tests.integration.clouds import Cloud, cloud

__all__ = ["cloud"]

READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
DATA = "dask-data@dask-project.iam.gserviceaccount.com"


@pytest.fixture
def target(cloud: Cloud) -> str:
    """Return an account that everybody may impersonate."""
    cloud.simulator.allow_impersonation("*", "reader@*")
    return cloud.simulator.create_service_account("reader")


def test_the_machines_account_impersonates_another(cloud: Cloud, target: str) -> None:
    obtained = cloud.ask(GoogleImpersonate(target=target, lifetime_s=600, scopes=(READ_ONLY,)))
    assert (obtained.origin, obtained.principal) == (Origin.IMPERSONATION, target)
    assert obtained.token.expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    [call] = cloud.simulator.log("google-iam")
    assert (call["principal"], call["details"]["scopes"]) == (DATA, [READ_ONLY])


def test_a_forwarded_token_impersonates_another(cloud: Cloud, target: str) -> None:
    issued = cloud.simulator.issue_google_token("ada@example.org")
    token = GoogleToken(access_token=Secret(issued["access_token"]), expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert cloud.ask(GoogleImpersonate(target=target, token=token)).principal == target
    assert cloud.simulator.log("google-iam")[-1]["principal"] == "ada@example.org"
    assert cloud.simulator.log("google-metadata") == []


def test_a_forwarded_token_that_has_expired_is_not_tried(cloud: Cloud, target: str) -> None:
    token = GoogleToken(access_token=Secret("x"), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert cloud.refused(GoogleImpersonate(target=target, token=token)).code == "expired-token"
    assert cloud.simulator.log("google-iam") == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("somebody@dask-project.iam.gserviceaccount.com", "not-found"),
        (DATA, "access-denied"),
        ("a/../reader@dask-project.iam.gserviceaccount.com", "request-refused"),
        ("reader@dask-project.iam.gserviceaccount.com:signBlob?", "request-refused"),
    ],
)
def test_a_target_that_may_not_be_impersonated_says_why(cloud: Cloud, target: str, name: str, code: str) -> None:
    assert cloud.refused(GoogleImpersonate(target=name)).code == code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 401, "code": "UNAUTHENTICATED"}, "expired-token"),
        ({"status": 429, "code": "RESOURCE_EXHAUSTED"}, "throttled"),
        ({"status": 500, "code": "INTERNAL"}, "service-error"),
        ({"garbage": True}, "malformed-answer"),
        ({"patch": {"expireTime": "soon"}}, "malformed-answer"),
        ({"patch": {"expireTime": "2020-01-01T00:00:00Z"}}, "expiry-past"),
    ],
    ids=str,
)
def test_an_iam_service_that_fails_is_told_by_its_reason(
    cloud: Cloud, target: str, fault: dict[str, Any], code: str
) -> None:
    cloud.simulator.fault("google-iam", **fault)
    assert cloud.refused(GoogleImpersonate(target=target)).code == code
