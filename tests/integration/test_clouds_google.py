"""Google identities, by real google-auth in a real helper process, and each way in which they fail."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credagent.cloud_helper.job_requests import (
    GoogleAuthorizedUserToken,
    GoogleLocalRefreshToken,
    GoogleLocalToken,
    GoogleMachineToken,
)
from credagent.credentials import GoogleToken, Origin
from credagent.secret import Secret
from tests.integration.clouds import NOWHERE, WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud"]

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
DATA = "dask-data@dask-project.iam.gserviceaccount.com"
MACHINE = GoogleMachineToken()


def left(token: GoogleToken) -> timedelta:
    """Return how long it still lives."""
    return token.expires_at - datetime.now(UTC)


def test_the_data_access_account_with_its_address_project_and_expiry(cloud: Cloud) -> None:
    obtained = cloud.ask(GoogleMachineToken(scopes=(READ_ONLY,)))
    assert (obtained.origin, obtained.principal, obtained.token.email) == (Origin.GOOGLE_METADATA, DATA, DATA)
    assert (obtained.token.project, obtained.token.scopes) == ("dask-project", (READ_ONLY,))
    assert timedelta(minutes=59) < left(obtained.token) <= timedelta(hours=1)
    assert cloud.simulator.credentials()[-1]["details"]["scopes"] == [READ_ONLY]


def test_without_scopes_the_machines_own_are_used(cloud: Cloud) -> None:
    assert cloud.ask(MACHINE).token.scopes == (CLOUD_PLATFORM,)


def test_the_same_token_again_is_a_success(cloud: Cloud) -> None:
    assert cloud.ask(MACHINE).token.access_token == cloud.ask(MACHINE).token.access_token


def test_a_configured_project_is_not_asked_for(cloud: Cloud) -> None:
    assert cloud.ask(GoogleMachineToken(project="mine")).token.project == "mine"
    assert cloud.simulator.log("google-metadata", "project-id") == []


def test_a_project_that_metadata_does_not_say_is_no_failure(cloud: Cloud) -> None:
    cloud.simulator.fault("google-metadata", "project-id", status=500)
    assert cloud.ask(MACHINE).token.project == ""


@pytest.mark.parametrize(
    ("fault", "code", "retry"),
    [
        ({"status": 401}, "metadata-refused", True),
        ({"status": 403}, "metadata-disabled", False),
        ({"status": 404}, "no-service-account", False),
        ({"status": 429}, "throttled", True),
        ({"status": 500}, "service-error", True),
        ({"status": 503}, "service-error", True),
        ({"garbage": True}, "metadata-malformed", True),
        ({"truncate": True}, "metadata-malformed", True),
        ({"drop": True}, "metadata-unreachable", True),
        ({"hang": True}, "metadata-unreachable", True),
    ],
    ids=str,
)
def test_bad_metadata_hands_out_nothing_and_says_why_after_one_question(
    cloud: Cloud,
    fault: dict[str, Any],
    code: str,
    retry: bool,  # noqa: FBT001  parametrised
) -> None:
    cloud.simulator.fault("google-metadata", "token", **fault)
    error = cloud.refused(MACHINE)
    assert (error.code, error.retry) == (code, retry)
    assert len(cloud.simulator.log("google-metadata", "token")) == 1
    assert len(cloud.simulator.log("google-metadata", "token")) == 1


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"expires_in": -5}, "expiry-past"),
        ({"expires_in": "soon"}, "metadata-malformed"),
        ({"expires_in": None}, "metadata-malformed"),
        ({"expires_in": 1e300}, "metadata-malformed"),
        ({"access_token": None}, "metadata-malformed"),
        ({"access_token": "two\nlines"}, "malformed-answer"),
        ({"access_token": 7}, "malformed-answer"),
    ],
    ids=str,
)
def test_a_bad_token_document_hands_out_nothing_and_says_why(cloud: Cloud, patch: dict[str, Any], code: str) -> None:
    cloud.simulator.fault("google-metadata", "token", patch=patch)
    assert cloud.refused(MACHINE).code == code


def test_an_expiry_in_the_far_future_is_handed_out_shortened_and_noted(cloud: Cloud) -> None:
    cloud.simulator.fault("google-metadata", "token", patch={"expires_in": 10**8})
    obtained = cloud.ask(MACHINE)
    assert left(obtained.token) <= timedelta(hours=12)
    assert [notice.code for notice in obtained.notices] == ["expiry-far"]


@pytest.mark.parametrize("mode", [("no-account", "no-service-account"), ("disabled", "metadata-disabled")])
def test_what_an_administrator_has_to_change_is_named(cloud: Cloud, mode: tuple[str, str]) -> None:
    cloud.simulator.google_machine(mode=mode[0])
    error = cloud.refused(MACHINE)
    assert error.code == mode[1]
    assert "gcloud" in error.hint or "service account" in error.hint or "concealed" in error.hint


def test_a_clock_that_is_an_hour_wrong_is_measured_and_said(cloud: Cloud) -> None:
    cloud.simulator.skew(3600)
    obtained = cloud.ask(MACHINE)
    assert obtained.skew_s == pytest.approx(3600, abs=5)
    assert [notice.code for notice in obtained.notices] == ["clock-skew"]


def test_a_machine_that_is_told_not_to_look_has_no_identity(cloud: Cloud) -> None:
    assert cloud.refused(MACHINE, NO_GCE_CHECK="true").code == "no-identity"


def test_a_metadata_server_that_was_named_and_is_not_there_is_unreachable(cloud: Cloud) -> None:
    nowhere = NOWHERE.removeprefix("http://")
    error = cloud.refused(MACHINE, GCE_METADATA_HOST=nowhere, GCE_METADATA_IP=nowhere)
    assert error.code == "metadata-unreachable"


# ---- a refresh token


def user(cloud: Cloud, **changed: Any) -> GoogleAuthorizedUserToken:
    """Return the request for a token of a person's refresh token."""
    held = cloud.simulator.create_refresh_token("ada@example.org", scopes=[CLOUD_PLATFORM])
    fields = {
        "client_id": held["client_id"],
        "client_secret": Secret(held["client_secret"]),
        "refresh_token": Secret(held["refresh_token"]),
        "token_uri": cloud.addresses["oauth"] + "/token",
        **changed,
    }
    return GoogleAuthorizedUserToken(**fields)


def test_a_refresh_token_becomes_an_access_token(cloud: Cloud) -> None:
    obtained = cloud.ask(user(cloud, scopes=(READ_ONLY,), project="mine"))
    assert (obtained.origin, obtained.token.project) == (Origin.REFRESH_TOKEN, "mine")
    assert left(obtained.token) > timedelta(minutes=59)


def test_a_refresh_token_that_was_revoked_is_an_invalid_grant(cloud: Cloud) -> None:
    request = user(cloud)
    cloud.simulator.revoke(request.refresh_token.reveal())
    error = cloud.refused(request)
    assert (error.code, error.retry) == ("invalid-grant", False)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"client_id": "somebody"}, "client-unknown"),
        ({"refresh_token": Secret("x")}, "invalid-grant"),
        ({"token_uri": "http://example.test/token"}, "bad-endpoint"),
        ({"token_uri": "file:///etc/passwd"}, "bad-endpoint"),
        ({"token_uri": "not an address"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.example.test/token"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.googleapis.com.example.test/token"}, "bad-endpoint"),
        ({"token_uri": "https://evilgoogleapis.com/token"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.googleapis.com@example.test/token"}, "bad-endpoint"),
        ({"token_uri": "https://user@oauth2.googleapis.com/token"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.googleapis.com:8443/token"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.googleapis.com:x/token"}, "bad-endpoint"),
        ({"token_uri": "http://127.0.0.1:9/token"}, "bad-endpoint"),
        ({"token_uri": "https://oauth2.googleapis.com/token"}, "unreachable"),
        ({"token_uri": "https://www.googleapis.com/oauth2/v4/token"}, "unreachable"),
        ({"token_uri": "https://accounts.google.com/o/oauth2/token"}, "unreachable"),
    ],
    ids=str,
)
def test_a_grant_that_cannot_be_used_says_why(cloud: Cloud, changed: dict[str, Any], code: str) -> None:
    assert cloud.refused(user(cloud, **changed)).code == code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 302}, "request-refused"),
        ({"status": 429}, "throttled"),
        ({"status": 503}, "service-error"),
        ({"garbage": True}, "malformed-answer"),
        ({"truncate": True}, "malformed-answer"),
        ({"body": "{}"}, "malformed-answer"),
        ({"drop": True}, "unreachable"),
    ],
    ids=str,
)
def test_a_token_endpoint_that_fails_is_told_by_its_reason(cloud: Cloud, fault: dict[str, Any], code: str) -> None:
    cloud.simulator.fault("oauth", **fault)
    assert cloud.refused(user(cloud)).code == code


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_refresh_token_does_not_follow_a_redirect(cloud: Cloud, status: int) -> None:
    elsewhere = cloud.addresses["google-iam"] + "/v1/token"
    cloud.simulator.fault("oauth", status=status, headers={"Location": elsewhere})
    assert cloud.refused(user(cloud)).code == "request-refused"
    assert (len(cloud.simulator.log("oauth")), cloud.simulator.log("google-iam")) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 307])
def test_metadata_that_redirect_are_refused_and_not_followed(cloud: Cloud, status: int) -> None:
    elsewhere = cloud.addresses["google-iam"] + "/computeMetadata/v1/"
    cloud.simulator.fault("google-metadata", "token", status=status, headers={"Location": elsewhere})
    assert cloud.refused(MACHINE).code == "metadata-refused"
    assert cloud.simulator.log("google-iam") == []


# ---- the sender's own


def written(path: Path, document: dict[str, Any]) -> dict[str, str]:
    """Write application-default credentials and return what names them, on a laptop."""
    path.write_text(json.dumps(document))
    return {**WITHOUT_MACHINE, "GOOGLE_APPLICATION_CREDENTIALS": str(path)}


def test_a_service_accounts_key_file_gives_a_token(cloud: Cloud, tmp_path: Path) -> None:
    key = cloud.simulator.create_service_account_key("sender")
    environ = written(tmp_path / "adc.json", {**key, "token_uri": cloud.addresses["oauth"] + "/token"})
    obtained = cloud.ask(GoogleLocalToken(), **environ)
    assert (obtained.origin, obtained.method) == (Origin.BUNDLE, "service_account")
    assert obtained.principal == "sender@dask-project.iam.gserviceaccount.com"
    assert cloud.refused(GoogleLocalRefreshToken(), **environ).code == "not-refreshable"


def test_a_persons_refresh_token_is_read_without_asking_anybody(cloud: Cloud, tmp_path: Path) -> None:
    held = cloud.simulator.create_refresh_token("ada@example.org")
    found = cloud.ask(GoogleLocalRefreshToken(), **written(tmp_path / "adc.json", held))
    assert (found.client_id, found.refresh_token) == (held["client_id"], Secret(held["refresh_token"]))
    assert cloud.simulator.log() == []


def test_a_persons_token_endpoint_behind_a_proxy_that_is_down_is_unreachable(cloud: Cloud, tmp_path: Path) -> None:
    held = cloud.simulator.create_refresh_token("ada@example.org")
    assert cloud.refused(GoogleLocalToken(), **written(tmp_path / "adc.json", held)).code == "unreachable"


@pytest.mark.parametrize("request_", [GoogleLocalToken(), GoogleLocalRefreshToken()], ids=["token", "refresh-token"])
def test_nothing_at_all_is_no_local_identity(cloud: Cloud, request_: Any) -> None:
    error = cloud.refused(request_, **WITHOUT_MACHINE)
    assert (error.code, error.retry) == ("no-local-identity", False)
    assert "gcloud" in error.hint


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"type": "authorized_user"}', '{"type": "what"}'])
def test_application_default_credentials_that_are_broken_say_so(cloud: Cloud, tmp_path: Path, content: str) -> None:
    path = tmp_path / "adc.json"
    path.write_text(content)
    error = cloud.refused(GoogleLocalToken(), **WITHOUT_MACHINE, GOOGLE_APPLICATION_CREDENTIALS=str(path))
    assert error.code == "google-configuration"


def test_a_machine_that_sends_uses_its_own_account(cloud: Cloud) -> None:
    assert cloud.ask(GoogleLocalToken()).principal == DATA
