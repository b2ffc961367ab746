from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # missing from the stubs

import pytest
from requests.utils import should_bypass_proxies

from credagent.cloud_helper.environment import NEVER_PROXIED, NOT_THE_MACHINES, helper_environment


def test_the_machines_identity_does_not_see_the_users() -> None:
    environ = dict.fromkeys(NOT_THE_MACHINES, "x") | {"PATH": "/bin", "AWS_ENDPOINT_URL_STS": "http://sts"}
    kept = helper_environment(environ, local=False)
    assert NOT_THE_MACHINES.isdisjoint(kept)
    assert kept["PATH"] == "/bin"
    assert kept["AWS_ENDPOINT_URL_STS"] == "http://sts"
    assert kept["AWS_CONFIG_FILE"] == kept["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


def test_the_local_identity_sees_all_that_the_user_has() -> None:
    environ = {"AWS_PROFILE": "work", "AWS_CONFIG_FILE": "/home/ada/config"}
    assert helper_environment(environ, local=True).items() >= environ.items()


def test_the_agents_own_variables_stay_with_it() -> None:
    kept = helper_environment({"CREDAGENT_SEALED": "x", "PYTHONPATH": "x"}, local=True)
    assert kept.keys().isdisjoint({"CREDAGENT_SEALED", "PYTHONPATH"})


def test_the_first_version_of_instance_metadata_is_never_asked() -> None:
    assert (
        helper_environment({"AWS_EC2_METADATA_V1_DISABLED": "false"}, local=False)["AWS_EC2_METADATA_V1_DISABLED"]
        == "true"
    )


@pytest.mark.parametrize("host", NEVER_PROXIED)
@pytest.mark.parametrize("asked", ["", "example.org, internal"])
def test_metadata_and_loopback_are_never_proxied(host: str, asked: str) -> None:
    no_proxy = helper_environment({"no_proxy": asked}, local=False)["no_proxy"]
    address = host if host.startswith("[") or ":" not in host else f"[{host}]"
    assert proxy_bypass_environment(f"{address}:80", {"no": no_proxy})
    assert should_bypass_proxies(f"http://{address}:80/", no_proxy)


def test_cloud_endpoints_are_proxied() -> None:
    no_proxy = helper_environment({"HTTPS_PROXY": "http://proxy:3128"}, local=False)["NO_PROXY"]
    assert not proxy_bypass_environment("sts.eu-central-1.amazonaws.com:443", {"no": no_proxy})
    assert not should_bypass_proxies("https://oauth2.googleapis.com/token", no_proxy)


@pytest.mark.parametrize(
    ("name", "value", "host"),
    [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://metadata.test:1338/", "metadata.test"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.9/creds", "127.0.0.9"),
        ("GCE_METADATA_HOST", "metadata.test:8080", "metadata.test"),
    ],
)
def test_metadata_that_was_put_elsewhere_is_not_proxied_either(name: str, value: str, host: str) -> None:
    assert host in helper_environment({name: value}, local=False)["no_proxy"].split(",")


def test_an_address_that_cannot_be_parsed_is_left_out() -> None:
    assert "[" not in helper_environment({"GCE_METADATA_HOST": "http://[oops"}, local=False)["no_proxy"].split(",")


def test_a_star_still_means_no_proxy_at_all() -> None:
    assert helper_environment({"NO_PROXY": "*"}, local=False)["no_proxy"] == "*"


def test_what_the_user_excluded_stays_excluded() -> None:
    kept = helper_environment({"NO_PROXY": "corp.example , 10.0.0.0/8"}, local=True)
    assert kept["NO_PROXY"].startswith("corp.example,10.0.0.0/8,")
    assert kept["NO_PROXY"] == kept["no_proxy"]
