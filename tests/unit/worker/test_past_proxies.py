"""A worker behind a proxy asks the endpoint and metadata past it; what the user wrote in NO_PROXY stays."""

import pytest

from credagent.worker.credagent_worker import past_proxies

HOSTS = ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("environ", "extended"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, "127.0.0.1,::1"),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "", "NO_PROXY": ""}, "127.0.0.1,::1"),
        ({"all_proxy": "socks5://proxy", "NO_PROXY": ".corp, ::1"}, ".corp,::1,127.0.0.1"),
        ({"https_proxy": "http://proxy", "no_proxy": "a,,b", "NO_PROXY": "c"}, "a,b,127.0.0.1,::1"),
    ],
)
def test_both_spellings_are_extended_and_nothing_is_lost(environ: dict[str, str], extended: str) -> None:
    assert past_proxies(environ, HOSTS) == {"NO_PROXY": extended, "no_proxy": extended}
    again = {**environ, "NO_PROXY": extended, "no_proxy": extended}
    assert past_proxies(again, HOSTS) == {"NO_PROXY": extended, "no_proxy": extended}


@pytest.mark.parametrize("environ", [{}, {"HTTP_PROXY": ""}, {"HTTP_PROXY": "http://proxy", "NO_PROXY": "*"}])
def test_where_there_is_no_proxy_nothing_is_added(environ: dict[str, str]) -> None:
    assert past_proxies(environ, HOSTS) == {}


def test_an_agent_that_names_no_hosts_changes_nothing() -> None:
    assert past_proxies({"HTTP_PROXY": "http://proxy"}, ()) == {}
