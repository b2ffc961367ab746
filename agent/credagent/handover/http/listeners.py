"""Puts faces behind bound sockets: the one place that knows which handover is served where, and to whom."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from msgspec import Struct

from credagent.credentials import CredentialSet
from credagent.handover.http import aws_endpoint
from credagent.handover.http.aws_endpoint import AwsEndpoint
from credagent.handover.http.google_metadata_server import GoogleMetadataServer
from credagent.handover.http.port_binding import address_of
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, refusal
from credagent.handover.http.server import HttpConnection, ListenerPolicy, Responder, serve
from credagent.handover.http.tcp_peer_uid import TcpPeerLookup
from credagent.secret import Secret
from credagent.system import open_file_limit

METRICS_CONNECTIONS = 32

NOT_FOUND = refusal(404, "not-found", "nothing is served here")

Count = Callable[[str, str], None]
"""Told of each answered request: the face (`endpoint`, `metadata`, `http`, `metrics`) and its outcome."""


class RequestRouter:
    """Sends each request to the face whose path it names; a handover that is off has no face."""

    def __init__(self, count: Count, *, aws: Responder | None, google: Responder | None) -> None:
        """Serve the faces that there are."""
        self._count, self._aws, self._google = count, aws, google

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer from the face it belongs to, and count how it ended."""
        if request.path == aws_endpoint.PATH:
            return self._from("endpoint", self._aws, request)
        return self._from("metadata", self._google, request)

    def _from(self, name: str, face: Responder | None, request: HttpRequest) -> HttpResponse:
        answer = NOT_FOUND if face is None else face.answer(request)
        self._count(name, answer.outcome)
        return answer


class Listeners(Struct, frozen=True):
    """What is served over TCP now."""

    servers: tuple[asyncio.Server, ...]
    sites: tuple[ListenerPolicy, ...]
    callers: TcpPeerLookup | None

    async def close(self) -> None:
        """Stop listening and end all connections; SDKs come back to the next agent by themselves."""
        for server in self.servers:
            server.close()
        for site in self.sites:
            site.end()
        for server in self.servers:
            await server.wait_closed()
        if self.callers is not None:
            self.callers.close()


async def start_listeners(
    sockets: Sequence[socket.socket],
    *,
    source: Callable[[], CredentialSet],
    now: Callable[[], datetime],
    admits: Callable[[int], bool],
    count: Count,
    token: Secret | None,
    google: bool,
    project: str = "",
) -> Listeners:
    """Serve the credential set that `source` gives on `sockets` (from `binding.bind`), from memory.

    `token` None: the AWS endpoint is not served; `google` False: the metadata server is not. `admits` is asked the uid
    of each caller. Raises OSError where the kernel does not say whose connections are whose.
    """
    callers = TcpPeerLookup()
    faces = RequestRouter(
        count,
        aws=None if token is None else AwsEndpoint(source, token, now),
        google=GoogleMetadataServer(source, now, project=project) if google else None,
    )
    site = ListenerPolicy(
        faces,
        hosts=hosts_of(sockets),
        admits=admits,
        callers=callers,
        count=lambda outcome: count("http", outcome),
        connections=open_file_limit.most_connections(),
    )
    return Listeners(tuple(await serve(sockets, site)), (site,), callers)


async def start_metrics_listener(sockets: Sequence[socket.socket], face: Responder, count: Count) -> Listeners:
    """Serve metrics and health, which hold no secret, to everybody on this machine."""
    site = ListenerPolicy(
        face,
        hosts=hosts_of(sockets),
        admits=None,
        callers=None,
        count=lambda outcome: count("metrics", outcome),
        connections=METRICS_CONNECTIONS,
    )
    return Listeners(tuple(await serve(sockets, site)), (site,), None)


def unix_http(face: Responder, count: Count) -> Callable[[], asyncio.Protocol]:
    """Return what the agent's Unix socket makes HTTP connections with, for callers that it has admitted already.

    There is no Host to speak of. The socket reads the first bytes to see what is spoken, and passes all of them on by
    `data_received`.
    """
    site = ListenerPolicy(
        face,
        hosts=None,
        admits=None,
        callers=None,
        count=lambda outcome: count("metrics", outcome),
        connections=METRICS_CONNECTIONS,
    )
    return lambda: cast("asyncio.Protocol", HttpConnection(site, asyncio.get_running_loop()))


def hosts_of(sockets: Sequence[socket.socket]) -> frozenset[bytes]:
    """Return what a request's Host may be: the addresses themselves and `localhost`."""
    addresses = [address_of(ready) for ready in sockets]
    names = {str(address) for address in addresses} | {f"localhost:{address.port}" for address in addresses}
    return frozenset(name.encode() for name in names)
