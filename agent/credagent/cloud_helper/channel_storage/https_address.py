"""The `https:` channel: an address on the web, by its ETag.

Its server may redirect, a few times, and only to https; never to this machine or to a metadata service, unless that is
the very origin that the configuration names. A name that resolves differently a moment later gains nothing: what
answers there must still prove that name by a certificate.
"""

import ipaddress
import socket
from urllib.parse import urljoin

import requests
from requests.utils import get_environ_proxies, select_proxy

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http import https_client
from credagent.cloud_helper.http.https_url import HttpsUrl, parse_https_url
from credagent.cloud_helper.job_requests import ChannelGet
from credagent.cloud_helper.job_responses import Content
from credagent.config.channel_grammar import HttpsChannelSpec

MAX_REDIRECTS = 4
REDIRECTS = frozenset({301, 302, 303, 307, 308})
OK, NOT_MODIFIED = 200, 304
ABSENT = frozenset({404, 410})
OWN_NAMES = ("localhost", "metadata.google.internal", "metadata", "instance-data.ec2.internal")
METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200")))
"""Metadata services outside the link-local range (169.254.0.0/16, fe80::/10)."""


def get(channel: HttpsChannelSpec, request: ChannelGet) -> Content:
    """Return what the address holds. Raises CloudFailure."""
    session = https_client.open_session()
    url = configured = _configured(channel.url)
    condition = {"If-None-Match": request.version} if request.version else {}
    for _ in range(MAX_REDIRECTS + 1):
        answered = https_client.ask(session, "GET", str(url), headers=condition, max_bytes=request.max_bytes)
        if answered.status not in REDIRECTS:
            return _content(answered, request)
        session.cookies.clear()
        url = _next(url, answered.headers.get("Location", ""), configured)
    raise CloudFailure("redirect-refused", f"more than {MAX_REDIRECTS} redirects")


def _configured(url: str) -> HttpsUrl:
    """Return the configured address, its host and path written in ASCII. Raises CloudFailure."""
    try:
        written = requests.Request("GET", url).prepare().url or ""
    except (requests.exceptions.RequestException, UnicodeError) as exc:
        raise CloudFailure("channel-address") from exc
    parsed = parse_https_url(written)
    if parsed is None:
        raise CloudFailure("channel-address")
    return parsed


def _content(answered: https_client.HttpsResponse, request: ChannelGet) -> Content:
    if answered.status == NOT_MODIFIED and request.version:
        return Content(version=request.version, unchanged=True)
    if answered.status in ABSENT:
        return Content()
    if answered.status != OK:
        raise https_client.refusal(answered.status, answered.headers.get("Retry-After"))
    return Content(data=answered.body, version=answered.headers.get("ETag", ""))


def _next(present: HttpsUrl, location: str, configured: HttpsUrl) -> HttpsUrl:
    """Return where a redirect leads, or raise `redirect-refused`."""
    if not location:
        raise CloudFailure("malformed-answer", "a redirect to nowhere")
    try:
        joined = urljoin(str(present), location)
    except ValueError as exc:
        raise CloudFailure("redirect-refused", "not an address") from exc
    url = parse_https_url(joined)
    if url is None:
        scheme = "" if joined.startswith("https://") else "it leads from https to another scheme"
        raise CloudFailure("redirect-refused", scheme or "not an address")
    if url.origin != configured.origin:
        _demand_elsewhere(url)
    return url


def _demand_elsewhere(url: HttpsUrl) -> None:
    if url.host in OWN_NAMES or url.host.endswith(".localhost"):
        raise CloudFailure("redirect-refused", "it leads to this machine or its metadata")
    proxied = select_proxy(str(url), get_environ_proxies(str(url))) is not None
    for address in _addresses(url.host, url.port, resolves=not proxied):
        if not _is_elsewhere(address):
            raise CloudFailure("redirect-refused", "it leads to this machine or its metadata")


def _addresses(host: str, port: int, *, resolves: bool) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return what `host` is; behind a proxy only what its text says, since the proxy asks its own name server."""
    flags = 0 if resolves else socket.AI_NUMERICHOST
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as exc:
        if resolves:
            raise CloudFailure("unreachable", "a redirect's host is not known") from exc
        return []
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _is_elsewhere(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    plain = getattr(address, "ipv4_mapped", None) or address
    own = plain.is_loopback or plain.is_link_local or plain.is_unspecified or plain.is_multicast or plain.is_reserved
    return not own and plain not in METADATA
