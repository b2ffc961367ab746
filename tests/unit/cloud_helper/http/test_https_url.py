"""What is judged of an address is what is fetched, whichever parser reads it after us."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request
from urllib3.util import parse_url

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.refresh_token import _googles
from credagent.cloud_helper.http.https_url import parse_https_url

HOSTILE = [
    r"https://127.0.0.1\.googleapis.com/token",
    r"https://127.0.0.1\@oauth2.googleapis.com/token",
    r"https:\\127.0.0.1/.googleapis.com",
    "https://127.0.0.1@oauth2.googleapis.com/",
    "https://oauth2.googleapis.com@127.0.0.1/",
    "https://oauth2.googleapis.com:443@127.0.0.1/",
    "https://127.0.0.1#.googleapis.com/",
    "https://127.0.0.1?.googleapis.com/",
    "https://127.0.0.1/.googleapis.com",
    "https://127.0.0.1%2f.googleapis.com/",
    "https://127.0.0.1%00.googleapis.com/",
    "https://127.0.0.1\t.googleapis.com/",
    "https://127.0.0.1\n.googleapis.com/",
    "https://127.0.0.1 .googleapis.com/",
    "https://127.0.0.1\u3002googleapis.com/",
    "https://127.0.0.1\uff0f.googleapis.com/",
    "https://[::1].googleapis.com/",
    "https://[::1%25.googleapis.com]/",
    "https://127.0.0.1:443:.googleapis.com/",
    "https://oauth2.googleapis.com:8443/token",
    "https://oauth2.googleapis.com:0/token",
    "https://oauth2.googleapis.com:99999/token",
    "http://oauth2.googleapis.com/token",
    "https:/oauth2.googleapis.com/token",
    "https:///oauth2.googleapis.com/token",
    "//oauth2.googleapis.com/token",
    " https://oauth2.googleapis.com/token",
    "https://oauth2.googleapis.com/to\\ken",
    "https://googleapis.com.example.org/",
    "https://evilgoogleapis.com/",
    "https://.googleapis.com/",
    "",
]


@pytest.mark.parametrize("address", HOSTILE)
def test_a_refresh_token_goes_to_no_address_that_only_looks_like_googles(address: str) -> None:
    with pytest.raises(CloudFailure) as raised:
        _googles(address)
    assert raised.value.code == "bad-endpoint"


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/token"),
        ("https://oauth2.googleapis.com:443/token", "https://oauth2.googleapis.com/token"),
        ("HTTPS://OAuth2.GoogleAPIs.com/token", "https://oauth2.googleapis.com/token"),
        ("https://accounts.google.com/o/oauth2/token", "https://accounts.google.com/o/oauth2/token"),
        ("https://sts.europe.rep.googleapis.com/v1/token?x=1#f", "https://sts.europe.rep.googleapis.com/v1/token?x=1"),
    ],
)
def test_googles_own_addresses_are_asked_as_they_were_judged(address: str, asked: str) -> None:
    assert _googles(address) == asked


@pytest.mark.parametrize(
    ("address", "host", "port", "written"),
    [
        ("https://example.org", "example.org", 443, "https://example.org/"),
        ("https://EXAMPLE.org.:8443?a=b", "example.org", 8443, "https://example.org:8443/?a=b"),
        ("https://[2001:DB8::1]:444/x", "2001:db8::1", 444, "https://[2001:db8::1]:444/x"),
        ("https://a_b.example/x%2Fy", "a_b.example", 443, "https://a_b.example/x%2Fy"),
    ],
)
def test_an_address_is_written_anew_from_its_parts(address: str, host: str, port: int, written: str) -> None:
    url = parse_https_url(address)
    assert url is not None
    assert (url.host, url.port, str(url)) == (host, port, written)
    assert parse_https_url(written) == url


ODD = st.text(alphabet="a1.:/\\@#?%[]-_ \t\n\0\u3002\uff0f\xe9", max_size=20)


@given(st.one_of(ODD, st.text(max_size=20)))
def test_every_other_parser_finds_the_host_that_we_judged(rest: str) -> None:
    url = parse_https_url(f"https://{rest}")
    if url is None:
        return
    assert urlsplit(str(url)).hostname == url.host
    found = parse_url(str(url))
    assert (found.host or "").strip("[]").lower() == url.host
    assert (found.port or 443) == url.port
    sent = Request("GET", str(url)).prepare().url
    assert sent is not None
    assert (parse_url(sent).host or "").strip("[]").lower() == url.host
