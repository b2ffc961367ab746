"""Puts faces behind bound sockets: the one place that knows which handover is served where, and to whom."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from msgspec import Struct

from credagent.credentials import CredentialSet
from credagent.handover import endpoint, open_files
from credagent.handover.binding import address_of
from credagent.handover.connections import Callers
from credagent.handover.endpoint import Endpoint
from credagent.handover.http_answer import Answer, refusal
from credagent.handover.http_request import Request
from credagent.handover.http_server import Connection, Face, Site, serve
from credagent.handover.metadata import Metadata
from credagent.secret import Secret

METRICS_CONNECTIONS = 32

NOT_FOUND = refusal(404, "not-found", "nothing is served here")

Count = Callable[[str, str], None]
"""Told of each answered request: the face (`endpoint`, `metadata`, `http`, `metrics`) and its outcome."""


class Faces:
    """Sends each request to the face whose path it names; a handover that is off has no face."""

    def __init__(self, count: Count, *, aws: Face | None, google: Face | None) -> None:
        """Serve the faces that there are."""
        self._count, self._aws, self._google = count, aws, google

    def answer(self, request: Request) -> Answer:
        """Answer from the face it belongs to, and count how it ended."""
        if request.path == endpoint.PATH:
            return self._from("endpoint", self._aws, request)
        return self._from("metadata", self._google, request)

    def _from(self, name: str, face: Face | None, request: Request) -> Answer:
        answer = NOT_FOUND if face is None else face.answer(request)
        self._count(name, answer.outcome)
        return answer


class Listeners(Struct, frozen=True):
    """What is served over TCP now."""

    servers: tuple[asyncio.Server, ...]
    sites: tuple[Site, ...]
    callers: Callers | None

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
    callers = Callers()
    faces = Faces(
        count,
        aws=None if token is None else Endpoint(source, token, now),
        google=Metadata(source, now, project=project) if google else None,
    )
    site = Site(
        faces,
        hosts=hosts_of(sockets),
        admits=admits,
        callers=callers,
        count=lambda outcome: count("http", outcome),
        connections=open_files.most_connections(),
    )
    return Listeners(tuple(await serve(sockets, site)), (site,), callers)


async def start_metrics_listener(sockets: Sequence[socket.socket], face: Face, count: Count) -> Listeners:
    """Serve metrics and health, which hold no secret, to everybody on this machine."""
    site = Site(
        face,
        hosts=hosts_of(sockets),
        admits=None,
        callers=None,
        count=lambda outcome: count("metrics", outcome),
        connections=METRICS_CONNECTIONS,
    )
    return Listeners(tuple(await serve(sockets, site)), (site,), None)


def unix_http(face: Face, count: Count) -> Callable[[], asyncio.Protocol]:
    """Return what the agent's Unix socket makes HTTP connections with, for callers that it has admitted already.

    There is no Host to speak of. The socket reads the first bytes to see what is spoken, and passes all of them on by
    `data_received`.
    """
    site = Site(
        face,
        hosts=None,
        admits=None,
        callers=None,
        count=lambda outcome: count("metrics", outcome),
        connections=METRICS_CONNECTIONS,
    )
    return lambda: cast("asyncio.Protocol", Connection(site, asyncio.get_running_loop()))


def hosts_of(sockets: Sequence[socket.socket]) -> frozenset[bytes]:
    """Return what a request's Host may be: the addresses themselves and `localhost`."""
    addresses = [address_of(ready) for ready in sockets]
    names = {str(address) for address in addresses} | {f"localhost:{address.port}" for address in addresses}
    return frozenset(name.encode() for name in names)
