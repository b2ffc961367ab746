"""Bytes become requests, or a refusal that says why; pieces, pipelines and limits included."""

import pytest

from credagent.handover.http.request import (
    BODY_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    RequestReader,
)

PLAIN = b"GET /aws/v1/credentials?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9817\r\nAuthorization: secret-token\r\n\r\n"


def read(data: bytes, piece: int = 10_000) -> RequestReader:
    reader = RequestReader()
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    return reader


def malformed(data: bytes, piece: int = 10_000) -> str:
    reader = read(data, piece)
    assert reader.malformed is not None
    return reader.malformed.code


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_request_is_the_same_however_it_arrives(piece: int) -> None:
    reader = read(PLAIN, piece)
    (request,) = reader.requests
    assert (request.method, request.path, request.query) == (b"GET", "/aws/v1/credentials", "x=1")
    assert request.headers[b"authorization"] == b"secret-token"
    assert not request.last
    assert not reader.unfinished


def test_pipelined_requests_keep_their_order() -> None:
    reader = read(b"".join(PLAIN.replace(b"x=1", b"x=%d" % n) for n in range(5)) + PLAIN[:20], 100)
    assert [request.query for request in reader.requests] == [f"x={n}" for n in range(5)]
    assert reader.unfinished


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_the_last_request_of_a_connection_is_known(head: bytes) -> None:
    assert read(head).requests[0].last


def test_the_same_bytes_again_are_the_same_request() -> None:
    reader = RequestReader()
    for _ in range(3):
        reader.feed(PLAIN)
    assert reader.requests == read(PLAIN).requests * 3


def test_the_same_bytes_within_a_request_are_its_body() -> None:
    reader = RequestReader()
    reader.feed(PLAIN)
    reader.feed(b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(PLAIN))
    reader.feed(PLAIN)
    reader.feed(PLAIN)
    assert [request.path for request in reader.requests] == ["/aws/v1/credentials", "/token", "/aws/v1/credentials"]


@pytest.mark.parametrize(("data", "requests"), [(PLAIN * 2, 4), (PLAIN + b"GE", 1), (PLAIN[:9], 0)])
def test_bytes_that_were_more_or_less_than_one_request_are_parsed_each_time(data: bytes, requests: int) -> None:
    reader = RequestReader()
    for _ in range(2):
        reader.feed(data)
    assert len(reader.requests) == requests


def test_a_request_shows_no_header() -> None:
    assert "secret-token" not in repr(read(PLAIN).requests[0])


@pytest.mark.parametrize("piece", [512, 100_000])
def test_a_head_ends_at_its_limit_whether_it_ends_or_not(piece: int) -> None:
    endless = b"GET / HTTP/1.1\r\nX: " + b"a" * (HEAD_LIMIT_BYTES + 1)
    assert malformed(endless, piece) == "head-too-large"
    assert malformed(endless + b"\r\n\r\n", piece) == "head-too-large"
    assert malformed(b"GET /" + b"a" * HEAD_LIMIT_BYTES, piece) == "head-too-large"


def test_many_small_headers_are_a_large_head() -> None:
    assert malformed(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2_000 + b"\r\n") == "head-too-large"


def test_a_body_has_a_limit_and_a_length() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    assert malformed(post % (BODY_LIMIT_BYTES + 1)) == "body-too-large"
    assert malformed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == "transfer-encoding"
    (request,) = read(post % BODY_LIMIT_BYTES + b"x" * BODY_LIMIT_BYTES, 1_000).requests
    assert request.method == b"POST"


def test_an_empty_put_of_unknown_length_is_a_request_and_nothing_may_be_in_it() -> None:
    """So asks s3fs-fuse for its token; EC2's own service answers it."""
    put = b"PUT /latest/api/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (1, 10_000):
        (request,) = read(put + b"0\r\n\r\n", piece).requests
        assert request.method == b"PUT"
        assert malformed(put + b"1\r\nx\r\n0\r\n\r\n", piece) == "transfer-encoding"
        assert malformed(put + b"0\r\nAuthorization: x\r\n\r\n", piece) == "transfer-encoding"
    both = put.replace(b"Host: a", b"Content-Length: 5")
    assert malformed(both + b"0\r\n\r\n") == "not-http"


@pytest.mark.parametrize(
    "twice",
    [b"Host: a\r\nHost: b", b"Authorization: a\r\nauthorization: b", b"Metadata-Flavor: Google\r\nMetadata-Flavor: x"],
)
def test_a_header_with_two_values_is_refused(twice: bytes) -> None:
    assert malformed(b"GET / HTTP/1.1\r\n" + twice + b"\r\n\r\n") == "repeated-header"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x00\x00",
    ],
)
def test_what_is_not_http_is_refused(garbage: bytes) -> None:
    assert malformed(garbage) in ("not-http", "repeated-header")


def test_a_proxys_form_of_target_is_refused() -> None:
    assert malformed(b"GET http://127.0.0.1:9817/ HTTP/1.1\r\nHost: a\r\n\r\n") == "not-a-path"
    assert malformed(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") == "not-a-path"


def test_whole_requests_before_a_broken_one_are_kept() -> None:
    reader = read(PLAIN + b"nonsense\r\n\r\n")
    assert len(reader.requests) == 1
    assert reader.malformed is not None


@pytest.mark.parametrize(
    "name", [b"x-forwarded-for", b"forwarded", b"X-Forwarded-Host", b"x-forwarded-anything", b"Via", b"x-real-ip"]
)
def test_a_forwarded_request_is_known_by_its_headers(name: bytes) -> None:
    assert read(b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b": b\r\n\r\n").requests[0].forwarded
    first, second = read(b"GET / HTTP/1.1\r\nForwarded: a\r\n\r\n" + PLAIN).requests
    assert (first.forwarded, second.forwarded) == (True, False)
