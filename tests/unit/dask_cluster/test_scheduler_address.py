"""Where a scheduler is."""

import ssl

import pytest

from credagent.dask_cluster.scheduler_address import parse
from credagent.errors import UsageError

CONTEXT = ssl.create_default_context()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://10.0.0.1:8787", "tcp://10.0.0.1:8787"),
        ("10.0.0.1", "tcp://10.0.0.1:8786"),
        ("tcp://[::1]:1", "tcp://[::1]:1"),
        ("[::1]", "tcp://[::1]:8786"),
        ("host:9/", "tcp://host:9"),
    ],
)
def test_it_is_read_as_dask_writes_it(text: str, expected: str) -> None:
    assert parse(text).text == expected


def test_certificates_make_it_tls() -> None:
    assert parse("host:1", CONTEXT).text == "tls://host:1"
    assert parse("tls://host:1", CONTEXT).context is CONTEXT
    assert parse("tcp://host:1", CONTEXT).context is None


def test_a_gateways_cluster_is_found_by_the_name_that_tls_asks_for() -> None:
    place = parse("gateway://10.0.0.1:8786/c44d65cc", CONTEXT)
    assert place.text == "gateway://10.0.0.1:8786/c44d65cc"
    assert (place.host, place.port, place.server_name) == ("10.0.0.1", 8786, "daskgateway-c44d65cc")
    assert place.context is CONTEXT
    assert not parse("tls://host:1", CONTEXT).server_name


@pytest.mark.parametrize(
    "text",
    ["gateway://h:1", "gateway://h:1/", "gateway://h:1/a/b", "gateway://h:1/a b", "gateway://h:1/a\0", "tls://h:1/a"],
)
def test_a_gateways_address_names_one_cluster_and_no_other_address_does(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, CONTEXT)
    assert refused.value.code == "bad-address"


@pytest.mark.parametrize(
    "text",
    ["", "tcp://", "tcp://h:0", "tcp://h:x", "tcp://h:99999", "ws://h:1", "inproc://1", "tls://h:1", "gateway://h:1/a"],
)
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
