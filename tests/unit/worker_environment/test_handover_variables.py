"""The one list of what each handover writes and scrubs."""

import pytest

from credagent.worker_environment.handover_variables import (
    AWS_ENDPOINT,
    AWS_ENVIRONMENT,
    GOOGLE_METADATA,
    HANDOVER_VARIABLES,
    HandoverVariables,
)


def test_what_the_endpoint_writes_the_environment_scrubs_and_the_other_way_round() -> None:
    """A worker whose machine changed from one to the other must not be left with both."""
    uri, token = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    assert {uri, token, f"{token}_FILE"} <= AWS_ENDPOINT.writes & AWS_ENVIRONMENT.scrubs
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"}
    assert keys <= AWS_ENVIRONMENT.writes & AWS_ENDPOINT.scrubs


@pytest.mark.parametrize("handover", [AWS_ENVIRONMENT, AWS_ENDPOINT])
@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SECURITY_TOKEN",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ],
)
def test_what_would_win_over_it_or_mix_with_it_is_scrubbed(handover: HandoverVariables, name: str) -> None:
    assert name in handover.scrubs


def test_the_file_of_the_home_folder_cannot_win_over_the_endpoint() -> None:
    assert "AWS_SHARED_CREDENTIALS_FILE" in AWS_ENDPOINT.writes


def test_google_libraries_are_not_kept_from_looking() -> None:
    assert {"GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK"} <= GOOGLE_METADATA.scrubs


def test_the_list_is_whole_and_leaves_what_users_may_want() -> None:
    assert AWS_ENVIRONMENT.writes | AWS_ENDPOINT.scrubs | GOOGLE_METADATA.writes <= HANDOVER_VARIABLES
    assert HANDOVER_VARIABLES.isdisjoint({"AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "PATH"})
