"""Where container credentials may be asked for: the token goes along, so plain http leaves this machine nowhere."""

import pytest

from credagent.cloud_helper.aws.container_credentials import address_in
from credagent.cloud_helper.failures import CloudFailure

FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({RELATIVE: "/v2/x?y=1"}, "http://169.254.170.2/v2/x?y=1"),
        ({RELATIVE: "/v2/x", FULL: "http://127.0.0.1/other"}, "http://169.254.170.2/v2/x"),
        ({FULL: "http://169.254.170.23/v1/credentials"}, "http://169.254.170.23/v1/credentials"),
        ({FULL: "http://[fd00:ec2::23]/v1/credentials"}, "http://[fd00:ec2::23]/v1/credentials"),
        ({FULL: "http://127.1.2.3:9817/aws"}, "http://127.1.2.3:9817/aws"),
        ({FULL: "http://[::1]:9817/aws"}, "http://[::1]:9817/aws"),
        ({FULL: "http://localhost/aws"}, "http://localhost/aws"),
        ({FULL: "https://credentials.example.org/aws"}, "https://credentials.example.org/aws"),
    ],
)
def test_the_addresses_that_every_sdk_takes(environ: dict[str, str], address: str) -> None:
    assert address_in(environ).geturl() == address


@pytest.mark.parametrize(
    "environ",
    [
        {RELATIVE: "@evil.example/x"},
        {RELATIVE: ".evil.example/x"},
        {FULL: "http://example.org/x"},
        {FULL: "http://127.0.0.1.example.org/x"},
        {FULL: "http://127.0.0.1\\@example.org/x"},
        {FULL: "http://127.0.0.1\\.example.org/x"},
        {FULL: "http://user@127.0.0.1/x"},
        {FULL: "http://169.254.169.254/x"},
        {FULL: "http://2130706433/x"},
        {FULL: "http://localhost.example.org/"},
        {FULL: "file:///etc/passwd"},
        {FULL: "http://127.0.0.1/x y"},
        {FULL: "http://127.0.0.1:99999/"},
        {FULL: ""},
    ],
)
def test_no_other_address_gets_the_token(environ: dict[str, str]) -> None:
    with pytest.raises(CloudFailure) as raised:
        address_in(environ)
    assert raised.value.code == "bad-endpoint"
