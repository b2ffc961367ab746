"""Roles assumed by the machine's identity and by forwarded sessions, with real botocore against the simulator."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.cloud_helper.job_requests import AwsAssumeRole, AwsLocalIdentity
from credagent.credentials import AwsCredentials, Origin
from credagent.secret import Secret
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud"]


def forwarded(cloud: Cloud) -> AwsCredentials:
    """Return a person's session, as a bundle would carry it."""
    key = cloud.simulator.create_user("ada")
    environ = {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
    return cloud.ask(AwsLocalIdentity(), **WITHOUT_MACHINE, **environ).credentials


def left(credentials: AwsCredentials) -> timedelta:
    """Return how long they still live."""
    assert credentials.expires_at is not None
    return credentials.expires_at - datetime.now(UTC)


def test_the_machines_role_assumes_another_for_an_hour_at_most(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader", max_session_s=43_200)
    obtained = cloud.ask(AwsAssumeRole(role_arn=arn, duration_s=43_200, session_name="ada lovelace"))
    assert (obtained.origin, obtained.principal) == (
        Origin.ASSUMED_ROLE,
        "arn:aws:sts::123456789012:assumed-role/reader/ada-lovelace",
    )
    assert timedelta(minutes=59) < left(obtained.credentials) <= timedelta(hours=1)
    assert [notice.code for notice in obtained.notices] == ["duration-shortened"]
    assert len(cloud.simulator.log("sts", "AssumeRole")) == 1


def test_a_persons_session_assumes_a_role_for_as_long_as_the_role_allows(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader", max_session_s=43_200)
    obtained = cloud.ask(AwsAssumeRole(role_arn=arn, duration_s=7200, session=forwarded(cloud)))
    assert left(obtained.credentials) > timedelta(minutes=119)
    assert obtained.notices == ()


def test_a_duration_that_the_role_does_not_allow_becomes_an_hour(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader", max_session_s=3600)
    obtained = cloud.ask(AwsAssumeRole(role_arn=arn, duration_s=7200, session=forwarded(cloud)))
    assert left(obtained.credentials) <= timedelta(hours=1)
    assert [notice.code for notice in obtained.notices] == ["duration-shortened"]


def test_a_shorter_session_than_asked_is_taken_and_ends_when_it_says(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader")
    cloud.simulator.expire_after("sts", 20)
    assert left(cloud.ask(AwsAssumeRole(role_arn=arn)).credentials) <= timedelta(seconds=20)


def test_external_id_policy_and_tags_arrive(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader", external_id="dask")
    policy = '{"Version":"2012-10-17","Statement":[]}'
    cloud.ask(AwsAssumeRole(role_arn=arn, external_id="dask", policy=policy, tags={"team": "a"}, duration_s=900))
    [call] = cloud.simulator.log("sts", "AssumeRole")
    assert call["details"]["external_id"] == "dask"
    assert call["details"]["policy"] == policy
    assert call["details"]["tags"] == {"team": "a"}
    assert call["details"]["duration_s"] == 900


@pytest.mark.parametrize(
    ("fault", "code", "retry"),
    [
        ({"status": 400, "code": "Throttling"}, "throttled", True),
        ({"status": 403, "code": "AccessDenied"}, "access-denied", False),
        ({"status": 403, "code": "ExpiredToken"}, "expired-token", False),
        ({"status": 400, "code": "MalformedPolicyDocument"}, "request-refused", False),
        ({"status": 503, "code": "ServiceUnavailable"}, "service-error", True),
        ({"garbage": True}, "malformed-answer", True),
        ({"truncate": True}, "malformed-answer", True),
        ({"drop": True}, "unreachable", True),
    ],
)
def test_an_sts_that_refuses_a_role_is_told_by_its_reason(
    cloud: Cloud,
    fault: dict[str, Any],
    code: str,
    retry: bool,  # noqa: FBT001  parametrised
) -> None:
    arn = cloud.simulator.create_role("reader")
    cloud.simulator.fault("sts", "AssumeRole", **fault)
    error = cloud.refused(AwsAssumeRole(role_arn=arn))
    assert (error.code, error.retry) == (code, retry)


def test_a_role_that_was_deleted_is_denied(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader")
    cloud.simulator.delete_role("reader")
    assert cloud.refused(AwsAssumeRole(role_arn=arn)).code == "access-denied"


def test_a_clock_that_is_an_hour_wrong_is_what_sts_refused(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader")
    cloud.simulator.skew(3600)
    assert cloud.refused(AwsAssumeRole(role_arn=arn)).code == "clock-skew"


def test_a_machine_without_a_role_assumes_nothing(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader")
    cloud.simulator.instance(mode="no-role")
    assert cloud.refused(AwsAssumeRole(role_arn=arn)).code == "no-role"


def test_a_forwarded_session_that_has_expired_is_not_tried(cloud: Cloud) -> None:
    gone = AwsCredentials(
        access_key_id="ASIA",
        secret_access_key=Secret("x"),
        session_token=Secret("x"),
        expires_at=datetime.now(UTC) - timedelta(seconds=1),
        region="eu-central-1",
    )
    assert cloud.refused(AwsAssumeRole(role_arn="arn:aws:iam::1:role/reader", session=gone)).code == "expired-token"
    assert cloud.simulator.log("sts") == []


def test_without_any_region_sts_cannot_be_found(cloud: Cloud) -> None:
    session = AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("x"), session_token=Secret("x"))
    error = cloud.refused(AwsAssumeRole(role_arn="arn:aws:iam::123456789012:role/reader", session=session))
    assert error.code == "no-region"
