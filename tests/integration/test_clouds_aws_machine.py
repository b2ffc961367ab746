"""The machine's own AWS identity, by a real helper process, and each way in which it fails."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.cloud_helper.job_requests import AwsMachineIdentity
from credagent.credentials import Origin
from tests.integration.clouds import NOWHERE, Cloud, cloud

__all__ = ["cloud"]

MACHINE = AwsMachineIdentity()
UNASKED = AwsMachineIdentity(known_role="dask-node")


def test_the_instances_role_with_its_principal_region_and_real_expiry(cloud: Cloud) -> None:
    cloud.simulator.expire_after("imds", 20)
    obtained = cloud.ask(MACHINE, AWS_REGION="", AWS_DEFAULT_REGION="")
    assert obtained.origin is Origin.AWS_METADATA
    assert obtained.principal.startswith("arn:aws:sts::123456789012:assumed-role/dask-node/i-")
    assert obtained.credentials.region == "eu-central-1"
    assert obtained.credentials.expires_at is not None
    assert obtained.credentials.expires_at - datetime.now(UTC) < timedelta(seconds=21)
    assert obtained.skew_s is not None
    assert abs(obtained.skew_s) < 5


def test_sts_is_not_asked_about_a_role_that_is_known_and_is_about_another(cloud: Cloud) -> None:
    role = cloud.ask(MACHINE).role
    assert role == "dask-node"
    assert cloud.ask(AwsMachineIdentity(known_role=role)).principal == ""
    assert cloud.ask(AwsMachineIdentity(known_role="another")).principal.startswith("arn:aws:sts::")


def test_the_users_own_keys_and_profiles_are_not_the_machines(cloud: Cloud) -> None:
    aws = cloud.home / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text("[default]\naws_access_key_id=AKIAUSER\naws_secret_access_key=x\n")
    obtained = cloud.ask(UNASKED, AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="x", AWS_PROFILE="nope")
    assert obtained.credentials.access_key_id == cloud.simulator.credentials()[-1]["key_id"]


@pytest.mark.parametrize(
    ("mode", "code", "retry"),
    [("no-role", "no-role", False), ("disabled", "metadata-disabled", False), ("hop-limit", "hop-limit", False)],
)
def test_what_an_administrator_has_to_change_is_named(cloud: Cloud, mode: str, code: str, retry: bool) -> None:  # noqa: FBT001  parametrised
    cloud.simulator.instance(mode=mode)
    error = cloud.refused(UNASKED)
    assert (error.code, error.retry) == (code, retry)
    assert error.hint


@pytest.mark.parametrize(
    ("operation", "fault", "code"),
    [
        ("token", {"status": 401}, "metadata-refused"),
        ("token", {"status": 404}, "metadata-refused"),
        ("token", {"status": 500}, "service-error"),
        ("token", {"garbage": True}, "metadata-malformed"),
        ("role", {"status": 404}, "no-role"),
        ("role", {"garbage": True}, "metadata-malformed"),
        ("role", {"truncate": True}, "metadata-malformed"),
        ("credentials", {"status": 401}, "metadata-refused"),
        ("credentials", {"status": 403}, "metadata-disabled"),
        ("credentials", {"status": 404}, "no-role"),
        ("credentials", {"status": 429}, "throttled"),
        ("credentials", {"status": 500}, "service-error"),
        ("credentials", {"garbage": True}, "metadata-malformed"),
        ("credentials", {"truncate": True}, "metadata-malformed"),
        ("credentials", {"drop": True}, "metadata-malformed"),
    ],
    ids=str,
)
def test_bad_metadata_hands_out_nothing_and_says_why(
    cloud: Cloud, operation: str, fault: dict[str, Any], code: str
) -> None:
    cloud.simulator.fault("imds", operation, **fault)
    assert cloud.refused(UNASKED).code == code


@pytest.mark.parametrize("operation", ["role", "credentials"])
def test_metadata_that_says_nothing_at_all_is_asked_twice_and_given_up(cloud: Cloud, operation: str) -> None:
    cloud.simulator.fault("imds", operation, hang=True)
    assert cloud.refused(UNASKED).code == "metadata-unreachable"
    assert len(cloud.simulator.log("imds", operation)) == 2


@pytest.mark.parametrize("operation", ["token", "role", "credentials", "region"])
def test_one_answer_that_hangs_fails_or_is_cut_is_chance_and_asked_for_again(cloud: Cloud, operation: str) -> None:
    for fault in ({"hang": True}, {"status": 503}, {"drop": True}):
        cloud.simulator.fault("imds", operation, times=1, **fault)
        obtained = cloud.ask(UNASKED, AWS_REGION="", AWS_DEFAULT_REGION="")
        assert obtained.credentials.region == "eu-central-1"


def test_late_tokens_are_no_hop_limit_unless_every_one_of_them_gets_lost(cloud: Cloud) -> None:
    cloud.simulator.fault("imds", "token", hang=True, times=3)
    assert cloud.ask(UNASKED).credentials.session_token
    cloud.simulator.fault("imds", "token", hang=True)
    assert cloud.refused(UNASKED).code == "hop-limit"


def test_a_throttled_metadata_service_says_how_long_it_wants_to_be_left_alone(cloud: Cloud) -> None:
    cloud.simulator.fault("imds", "credentials", status=429, headers={"Retry-After": "17"})
    failure = cloud.refused(UNASKED)
    assert (failure.code, failure.retry, failure.retry_after_s) == ("throttled", True, 17.0)
    assert len(cloud.simulator.log("imds", "credentials")) == 1


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"Code": "AssumeRoleUnauthorizedAccess"}, "role-unusable"),
        ({"Code": "Failed", "AccessKeyId": None}, "role-unusable"),
        ({"Token": None}, "metadata-malformed"),
        ({"Expiration": "2020-01-01T00:00:00Z"}, "expiry-past"),
        ({"Expiration": "tomorrow"}, "expiry-malformed"),
        ({"Expiration": "2099-01-01T00:00:00"}, "expiry-malformed"),
        ({"Expiration": 1764000000}, "metadata-malformed"),
    ],
)
def test_a_bad_document_hands_out_nothing_and_says_why(cloud: Cloud, patch: dict[str, Any], code: str) -> None:
    cloud.simulator.fault("imds", "credentials", patch=patch)
    assert cloud.refused(UNASKED).code == code


def test_an_expiry_in_the_far_future_is_handed_out_shortened_and_noted(cloud: Cloud) -> None:
    cloud.simulator.fault("imds", "credentials", patch={"Expiration": "2099-01-01T00:00:00Z"})
    obtained = cloud.ask(UNASKED)
    assert obtained.credentials.expires_at is not None
    assert obtained.credentials.expires_at - datetime.now(UTC) < timedelta(hours=37)
    assert [notice.code for notice in obtained.notices] == ["expiry-far"]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_an_hour_wrong_is_measured_and_said(cloud: Cloud, hours: int) -> None:
    cloud.simulator.skew(hours * 3600)
    obtained = cloud.ask(UNASKED)
    assert obtained.skew_s == pytest.approx(hours * 3600, abs=5)
    assert [notice.code for notice in obtained.notices] == ["clock-skew"]


def test_a_clock_that_makes_fresh_credentials_look_expired_is_what_is_blamed(cloud: Cloud) -> None:
    cloud.simulator.expire_after("imds", 600)
    cloud.simulator.skew(-3600)
    assert cloud.refused(UNASKED).code == "clock-skew"


@pytest.mark.parametrize("fault", [{"status": 403, "code": "AccessDenied"}, {"hang": True}, {"garbage": True}])
def test_an_sts_that_does_not_say_who_we_are_is_no_failure(cloud: Cloud, fault: dict[str, Any]) -> None:
    cloud.simulator.fault("sts", "GetCallerIdentity", **fault)
    obtained = cloud.ask(MACHINE)
    assert (obtained.principal, [notice.code for notice in obtained.notices]) == ("", ["principal-unknown"])
    assert len(cloud.simulator.log("sts")) == 1


def test_metadata_that_is_switched_off_here_is_no_identity(cloud: Cloud) -> None:
    error = cloud.refused(UNASKED, AWS_EC2_METADATA_DISABLED="true")
    assert (error.code, error.retry) == ("no-identity", False)


def test_a_metadata_service_that_was_named_and_is_not_there_is_unreachable(cloud: Cloud) -> None:
    assert cloud.refused(UNASKED, AWS_EC2_METADATA_SERVICE_ENDPOINT=NOWHERE).code == "metadata-unreachable"


def test_an_endpoint_that_is_no_address_is_said_to_be_one(cloud: Cloud) -> None:
    assert cloud.refused(UNASKED, AWS_EC2_METADATA_SERVICE_ENDPOINT="not an address").code == "bad-endpoint"


def test_googles_metadata_server_in_that_place_is_no_identity(cloud: Cloud) -> None:
    google = cloud.addresses["google-metadata"]
    assert cloud.refused(UNASKED, AWS_EC2_METADATA_SERVICE_ENDPOINT=google).code == "no-identity"


# ---- container credentials


@pytest.fixture
def pod(cloud: Cloud) -> dict[str, str]:
    """Return what EKS gives the agent's environment."""
    token = cloud.home / "pod-token"
    token.write_text("pod-identity-token")
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": cloud.addresses["container"] + "/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


def test_a_pods_identity_wins_over_the_nodes(cloud: Cloud, pod: dict[str, str]) -> None:
    obtained = cloud.ask(MACHINE, **pod)
    assert obtained.origin is Origin.CONTAINER
    assert obtained.principal.endswith("assumed-role/dask-node/task")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 401}, "metadata-refused"),
        ({"status": 404}, "no-role"),
        ({"status": 429}, "throttled"),
        ({"status": 500}, "service-error"),
        ({"garbage": True}, "metadata-malformed"),
        ({"truncate": True}, "metadata-malformed"),
        ({"hang": True}, "metadata-unreachable"),
        ({"patch": {"Expiration": "2020-01-01T00:00:00Z"}}, "expiry-past"),
        ({"patch": {"Token": None}}, "metadata-malformed"),
    ],
)
def test_a_pods_identity_that_fails_does_not_slide_to_the_nodes(
    cloud: Cloud, pod: dict[str, str], fault: dict[str, Any], code: str
) -> None:
    cloud.simulator.fault("container", **fault)
    assert cloud.refused(UNASKED, **pod).code == code
    assert cloud.simulator.log("imds") == []


def test_a_token_file_may_end_in_a_newline(cloud: Cloud, pod: dict[str, str]) -> None:
    with open(pod["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], "a") as file:
        file.write("\n")
    assert cloud.ask(UNASKED, **pod).origin is Origin.CONTAINER


@pytest.mark.parametrize("token", ["", "\n", "two\nlines", "\xff"])
def test_a_token_file_that_holds_no_token_is_what_is_blamed(cloud: Cloud, pod: dict[str, str], token: str) -> None:
    with open(pod["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], "wb") as file:
        file.write(token.encode("latin-1"))
    failure = cloud.refused(UNASKED, **pod)
    assert failure.code == "bad-token-file"
    assert "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" in failure.hint


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent"}, "bad-token-file"),
        ({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x\n"}, "bad-token-file"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.test/v1/credentials"}, "bad-endpoint"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": NOWHERE}, "metadata-unreachable"),
    ],
)
def test_a_pods_environment_that_is_wrong_is_said_to_be(
    cloud: Cloud, pod: dict[str, str], changed: dict[str, str], code: str
) -> None:
    environ = {name: value for name, value in {**pod, **changed}.items() if value}
    assert cloud.refused(UNASKED, **environ).code == code


# ---- web identity


@pytest.fixture
def service_account(cloud: Cloud) -> dict[str, str]:
    """Return what EKS gives the agent's environment for an IAM role of a service account."""
    token = cloud.home / "jwt"
    token.write_text("header.claims.signature\n")
    cloud.simulator.trust_web_identity("header.claims.signature")
    return {
        "AWS_ROLE_ARN": cloud.simulator.create_role("reader"),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_SESSION_NAME": "dask",
    }


def test_a_web_identity_wins_over_all_others(
    cloud: Cloud, service_account: dict[str, str], pod: dict[str, str]
) -> None:
    obtained = cloud.ask(MACHINE, **service_account, **pod)
    assert obtained.origin is Origin.WEB_IDENTITY
    assert obtained.principal.endswith("assumed-role/reader/dask")


@pytest.mark.parametrize(
    ("token", "code"),
    [("not.trusted.here", "identity-token-refused"), ("", "bad-token-file"), ("x" * 30_000, "bad-token-file")],
)
def test_a_web_identity_that_fails_does_not_slide_to_the_nodes(
    cloud: Cloud, service_account: dict[str, str], token: str, code: str
) -> None:
    (cloud.home / "jwt").write_text(token)
    assert cloud.refused(UNASKED, **service_account).code == code
    assert cloud.simulator.log("imds") == []


def test_a_web_identity_without_its_file_is_said_to_be_one(cloud: Cloud, service_account: dict[str, str]) -> None:
    environ = {**service_account, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}
    assert cloud.refused(UNASKED, **environ).code == "bad-token-file"


def test_no_secret_of_an_answer_that_was_refused_is_in_the_error(cloud: Cloud, canary: str) -> None:
    body = json.dumps({"Code": "Success", "SecretAccessKey": canary, "Message": canary})
    cloud.simulator.fault("imds", "credentials", body=body)
    error = cloud.refused(UNASKED)
    assert canary not in f"{error!r}{error}{error.why}{error.hint}{error.what}"
