"""An address on the web as a channel: what is trusted, where a redirect may lead, and that nothing goes on for ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import ChannelGet
from credagent.cloud_helper.job_responses import Content
from credagent.errors import Unavailable
from tests.integration.agents import Machine, machine
from tests.integration.clouds import NOWHERE
from tests.integration.letters import letter
from tests.integration.tls_server import Page, Site, site

__all__ = ["machine"]

LIMIT_BYTES = 1000
SECRET = "X-Amz-Signature=0f0f0f0f"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as served:
        yield served


def get(web: Site, url: str, *, deadline_s: float = 30.0, version: str = "", **environ: str) -> Content:
    given = {"PATH": "/usr/bin:/bin", "REQUESTS_CA_BUNDLE": str(web.ca_file), **environ}
    return call_blocking(
        ChannelGet(address=url, max_bytes=LIMIT_BYTES, version=version), deadline_s=deadline_s, environ=given
    )


def refused(web: Site, url: str, *, deadline_s: float = 30.0, **environ: str) -> str:
    with pytest.raises(Unavailable) as raised:
        get(web, url, deadline_s=deadline_s, **environ)
    assert SECRET not in f"{raised.value} {raised.value.hint}"
    return raised.value.code


def test_what_is_there_comes_with_its_version_and_is_not_sent_again(web: Site) -> None:
    web.hold("/bundle", "hello")
    first = get(web, web.url("/bundle"))
    assert first.data == b"hello"
    assert get(web, web.url("/bundle"), version=first.version).unchanged
    web.hold("/bundle", "newer")
    assert get(web, web.url("/bundle"), version=first.version).data == b"newer"


@pytest.mark.parametrize("status", [404, 410])
def test_nothing_there_is_absent(web: Site, status: int) -> None:
    web.pages["/bundle"] = Page(status=status, body=b"<html>" * 1000)
    assert get(web, web.url("/bundle")).data is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "access-denied"),
        (403, "access-denied"),
        (429, "throttled"),
        (503, "service-error"),
        (418, "request-refused"),
    ],
)
def test_a_refusal_is_told_by_its_reason(web: Site, status: int, code: str) -> None:
    web.pages["/bundle"] = Page(status=status)
    assert refused(web, web.url(f"/bundle?{SECRET}")) == code


def test_a_redirect_within_the_origin_is_followed(web: Site) -> None:
    web.hold("/bundle", "hello")
    web.pages["/moved"] = Page(status=302, headers={"Location": "/bundle"})
    assert get(web, web.url("/moved")).data == b"hello"


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost/bundle",
        "ftp://localhost/bundle",
        "file:///etc/passwd",
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://[fd00:ec2::254]/latest/",
        "https://[::ffff:169.254.169.254]/",
        "https://2852039166/",
        "https://0x7f.1/",
        "https://127.0.0.1:1/",
        "https://[::1]:1/",
        "https://localhost:1/",
        "https://LOCALHOST.:1/",
        "https://0.0.0.0/",
        "https://user:password@example.org/",
        "https://[not-an-address/",
        "//169.254.169.254/latest",
        "https://127.0.0.1\\.example.org/",
        "https://127.0.0.1\\@example.org/",
        "/\\127.0.0.1/",
    ],
)
def test_a_redirect_to_another_scheme_to_metadata_or_to_this_machine_is_not_followed(web: Site, location: str) -> None:
    web.pages["/moved"] = Page(status=302, headers={"Location": location})
    assert refused(web, web.url(f"/moved?{SECRET}")) == "redirect-refused"
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "location", ["https://169.254.169.254/", "https://metadata.google.internal/", "https://127.1/"]
)
def test_behind_a_proxy_a_redirect_leads_no_further(web: Site, location: str) -> None:
    web.pages["/moved"] = Page(status=302, headers={"Location": location})
    assert refused(web, web.url("/moved"), HTTPS_PROXY=NOWHERE) == "redirect-refused"


def test_the_body_of_a_redirect_or_a_refusal_is_not_read(web: Site) -> None:
    web.hold("/bundle", "hello")
    web.pages["/moved"] = Page(status=302, headers={"Location": "/bundle"}, endless=True)
    web.pages["/refused"] = Page(status=403, endless=True)
    assert get(web, web.url("/moved"), deadline_s=10).data == b"hello"
    assert refused(web, web.url("/refused"), deadline_s=10) == "access-denied"


def test_a_circle_of_redirects_ends(web: Site) -> None:
    web.pages["/round"] = Page(status=302, headers={"Location": "/round"})
    assert refused(web, web.url("/round")) == "redirect-refused"
    assert len(web.asked) == 5


def test_a_body_that_never_ends_is_cut_at_the_limit(web: Site) -> None:
    web.pages["/endless"] = Page(endless=True)
    assert refused(web, web.url("/endless")) == "channel-too-large"


def test_a_body_that_trickles_is_cut_at_the_deadline(web: Site) -> None:
    web.pages["/trickle"] = Page(trickle=True)
    assert refused(web, web.url("/trickle"), deadline_s=1.0) == "timed-out"


def test_a_compressed_body_that_nobody_asked_for_is_not_unpacked(web: Site) -> None:
    web.pages["/gzip"] = Page(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert refused(web, web.url("/gzip")) == "malformed-answer"


def test_a_certificate_of_an_unknown_ca_is_wrong(web: Site) -> None:
    web.hold("/bundle", "hello")
    assert refused(web, web.url(f"/bundle?{SECRET}"), REQUESTS_CA_BUNDLE="") == "tls-failed"
    assert web.asked == []


def test_a_certificate_for_another_name_or_out_of_date_is_wrong(tmp_path: Path) -> None:
    for names, days in ((("example.org",), 1), (("localhost",), -1)):
        with site(tmp_path, names=names, days=days) as web:
            web.hold("/bundle", "hello")
            assert refused(web, web.url("/bundle")) == "tls-failed"
            assert web.asked == []


def test_a_proxy_that_is_not_there_is_unreachable(web: Site) -> None:
    assert refused(web, "https://example.org/bundle", HTTPS_PROXY=NOWHERE) == "unreachable"


def test_an_agent_takes_a_bundle_from_the_web_and_shows_no_signature(machine: Machine, web: Site) -> None:
    first = machine.sealed(letter(variables={"NUMBER": "1"}))
    web.hold("/bundle", first)
    url = web.url(f"/bundle?{SECRET}")
    machine.configure(bundle={"channels": [url]})
    machine.start(REQUESTS_CA_BUNDLE=str(web.ca_file))
    machine.until(lambda: machine.value("NUMBER") == "1")
    assert machine.status()["bundle"]["channel"] == "https"
    web.hold("/bundle", machine.sealed(letter(variables={"NUMBER": "2"})))
    machine.reload()
    machine.until(lambda: machine.value("NUMBER") == "2")
    web.hold("/bundle", first)
    machine.reload()
    machine.until(lambda: machine.refusals() == ["replayed"])
    assert machine.value("NUMBER") == "2"
    assert SECRET not in machine.said()
