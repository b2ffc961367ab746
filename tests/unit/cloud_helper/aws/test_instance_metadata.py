"""Each answer of instance metadata has its code; the SDKs' own variables say where it is asked and how patiently."""

import pytest

from credagent.cloud_helper.aws.imds_client import ImdsPlace, place_by, token_in
from credagent.cloud_helper.aws.instance_metadata import document_in, role_in
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http.metadata_client import MetadataResponse, place_of
from credagent.cloud_helper.machine_vendor import Maker

AMAZONS = ImdsPlace(address=place_of("http://169.254.169.254"), is_expected=True)
NOBODYS = ImdsPlace(address=place_of("http://169.254.169.254"), is_expected=False)


def answer(status: int, body: bytes = b"", **headers: str) -> MetadataResponse:
    return MetadataResponse(
        status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}, body=body
    )


@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (answer(400), "metadata-refused"),
        (answer(401), "metadata-refused"),
        (answer(403), "metadata-disabled"),
        (answer(429), "throttled"),
        (answer(500), "service-error"),
        (answer(503), "service-error"),
        (answer(200), "metadata-malformed"),
        (answer(200, b"two words"), "metadata-malformed"),
        (answer(200, b"\xff"), "metadata-malformed"),
    ],
)
def test_what_is_no_token_on_an_amazon_machine_has_its_code(answered: MetadataResponse, code: str) -> None:
    with pytest.raises(CloudFailure) as raised:
        token_in(answered, AMAZONS)
    assert raised.value.code == code


@pytest.mark.parametrize("status", [400, 404, 405])
def test_on_a_machine_of_nobody_the_refusal_of_another_clouds_service_is_absence(status: int) -> None:
    with pytest.raises(CloudFailure) as raised:
        token_in(answer(status), NOBODYS)
    assert raised.value.code == "no-identity"


@pytest.mark.parametrize("status", [200, 403, 404, 405])
def test_googles_metadata_server_is_no_trouble_of_amazons(status: int) -> None:
    with pytest.raises(CloudFailure) as raised:
        token_in(answer(status, metadata_flavor="Google"), AMAZONS)
    assert raised.value.code == "no-identity"


@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (answer(401), "metadata-refused"),
        (answer(404), "no-role"),
        (answer(429, retry_after="5"), "throttled"),
        (answer(500), "service-error"),
        (answer(200), "metadata-malformed"),
        (answer(200, b"<html>"), "metadata-malformed"),
        (answer(200, b"a\nb"), "metadata-malformed"),
        (answer(200, b"../../x"), "metadata-malformed"),
    ],
)
def test_what_is_no_role_or_no_document_has_its_code(answered: MetadataResponse, code: str) -> None:
    for read in (role_in, document_in):
        with pytest.raises(CloudFailure) as raised:
            read(answered)
        assert raised.value.code == code
        assert raised.value.retry_after_s == (5 if code == "throttled" else None)


def test_a_roles_name_may_end_in_a_newline() -> None:
    assert role_in(answer(200, b"dask-node\n")) == "dask-node"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "http://[fd00:ec2::254]"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:80/"}, "http://127.0.0.1:80/"),
        (
            {
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6",
            },
            "http://127.0.0.1",
        ),
    ],
)
def test_the_sdks_variables_say_where_it_is(environ: dict[str, str], address: str) -> None:
    assert place_by(environ, "amazon").address == place_of(address)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "not an address"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "127.0.0.1:80"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "ftp://127.0.0.1"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:http"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv5"},
    ],
)
def test_what_is_no_place_is_said_to_be_none(environ: dict[str, str]) -> None:
    with pytest.raises(CloudFailure) as raised:
        place_by(environ, "amazon")
    assert raised.value.code == "bad-endpoint"


@pytest.mark.parametrize(
    ("environ", "made_by"),
    [({"AWS_EC2_METADATA_DISABLED": "True"}, "amazon"), ({}, "google")],
)
def test_where_it_is_switched_off_or_another_clouds_it_is_not_asked(environ: dict[str, str], made_by: Maker) -> None:
    with pytest.raises(CloudFailure) as raised:
        place_by(environ, made_by)
    assert raised.value.code == "no-identity"


def test_a_service_whose_place_was_configured_is_expected_to_answer() -> None:
    named = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1"}
    assert [place_by(named, "").is_expected, place_by(named, "google").is_expected] == [True, True]
    assert [place_by({}, "amazon").is_expected, place_by({}, "").is_expected] == [True, False]


@pytest.mark.parametrize(
    ("timeout", "attempts", "found"),
    [("", "", (1, 2)), ("3", "4", (3, 4)), ("600", "1000", (5, 5)), ("0", "-1", (1, 2)), ("x", "1.5", (1, 2))],
)
def test_the_sdks_variables_say_how_patiently_it_is_asked(
    timeout: str, attempts: str, found: tuple[float, int]
) -> None:
    environ = {"AWS_METADATA_SERVICE_TIMEOUT": timeout, "AWS_METADATA_SERVICE_NUM_ATTEMPTS": attempts}
    place = place_by(environ, "amazon")
    assert (place.timeout_s, place.attempts) == found
