"""Files in a home that libraries would find before, or instead of, what workers are handed."""

from pathlib import Path
from typing import Any

import pytest

from credagent.cli.node_probes.process_reading import home_of
from credagent.config import AwsSection, Config, GoogleSection
from credagent.operations.observability.home_credential_files import Home, Profile, default_profile, shadows

ADC = "/home/ada/.config/gcloud/application_default_credentials.json"
CREDENTIALS = Profile("/home/ada/.aws/credentials", frozenset({"aws_access_key_id"}), masked=True)
CONFIGURATION = Profile("/home/ada/.aws/config", frozenset({"region", "credential_process"}))


def config(aws: Any = "environment", google: Any = "metadata") -> Config:
    return Config(aws=AwsSection(handover=aws), google=GoogleSection(handover=google))


def seen(home: Home, configured: Config) -> list[tuple[str, str, bool]]:
    return [(one.slot, one.path, one.always) for one in shadows(home, configured)]


def test_gclouds_application_default_file_wins_over_the_metadata_server() -> None:
    home = Home(google_default=ADC)
    assert seen(home, config()) == [("google", ADC, True)]
    assert seen(home, config(google="off")) == []


@pytest.mark.parametrize(
    ("handover", "shadowing"),
    [
        ("environment", [(CREDENTIALS.path, False), (CONFIGURATION.path, False)]),
        ("endpoint", [(CONFIGURATION.path, True)]),
        ("off", []),
    ],
)
def test_keys_of_a_default_profile_by_what_is_handed_over(handover: str, shadowing: list[tuple[str, bool]]) -> None:
    home = Home(aws=(CREDENTIALS, CONFIGURATION))
    assert [(path, always) for _, path, always in seen(home, config(aws=handover))] == shadowing


def test_a_default_profile_without_keys_is_nobodys_trouble() -> None:
    assert seen(Home(aws=(Profile("/x", frozenset({"region", "output"})),)), config("endpoint")) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[default]\nregion = x\naws_access_key_id=a%b\n[other]\nrole_arn=x\n", {"region", "aws_access_key_id"}),
        ("[profile default]\ncredential_process = p\n[default]\nregion=x", {"region", "credential_process"}),
        ("[profile other]\nrole_arn = p\n", set()),
        ("no section", set()),
        ("", set()),
    ],
)
def test_names_of_a_default_profile(text: str, names: set[str]) -> None:
    assert default_profile(text) == names


def test_they_are_said_with_a_remedy_and_no_value(tmp_path: Path, canary: str) -> None:
    gcloud, aws = tmp_path / "gcloud", tmp_path / "config"
    gcloud.mkdir()
    (gcloud / "application_default_credentials.json").write_text(canary)
    aws.write_text(f"[default]\naws_access_key_id = {canary}\naws_secret_access_key = {canary}\n")
    environ = {"CLOUDSDK_CONFIG": str(gcloud), "AWS_CONFIG_FILE": str(aws), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    home = home_of(environ)
    assert canary not in repr(home)
    said = list(shadows(home, config("endpoint")))
    assert [(one.slot, str(tmp_path) in one.found, "`" in one.remedy) for one in said] == [
        ("google", True, True),
        ("aws", True, True),
    ]
