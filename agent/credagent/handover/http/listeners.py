"""Starts and ends what the agent serves over HTTP: the listeners on loopback, and HTTP on the agent's own socket."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from time import perf_counter

from msgspec import Struct

from credagent import log
from credagent.credentials import CredentialSet
from credagent.errors import PermissionRefused
from credagent.handover.http.connection import HttpConnection
from credagent.handover.http.conversation import Answer, Conversation
from credagent.handover.http.ec2_metadata_server import Ec2Metadata
from credagent.handover.http.ec2_session_token import SessionTokens
from credagent.handover.http.listener import Accepted, Listener, Timeouts
from credagent.handover.http.port_binding import BACKLOG, address_of
from credagent.handover.http.refusals import CALLERS_UNKNOWN, NOT_ALLOWED, NOT_INTERCEPTED, RequestRules, refuse
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.respond import Services, respond
from credagent.handover.http.response import HttpResponse
from credagent.handover.http.tcp_peer_uid import TcpPeerLookup
from credagent.handover.interception.original_destination import (
    METADATA_HOSTS,
    is_metadata_service,
    original_destination,
)
from credagent.handover.refused_callers import RefusedCallers
from credagent.handover.unix.peer_credentials import OVERFLOW_UID
from credagent.secret import Secret
from credagent.system import open_file_limit

METRICS_CONNECTIONS = 32
FINISH_S = 1.0  # for connections that were accepted and not answered yet when the agent stops

Count = Callable[[str, str], None]
"""Told of each answered request: the service (`endpoint`, `metadata`, `http`, `metrics`) and its outcome."""

Took = Callable[[str, float], None]
"""Told how many seconds the answer of a service took."""


class CredentialListener:
    """Serves the credential set in force to the users that may ask."""

    def __init__(
        self,
        *,
        source: Callable[[datetime], CredentialSet],
        now: Callable[[], datetime],
        admits: Callable[[int], bool],
        callers: TcpPeerLookup | None,
        count: Count,
        took: Took,
        direct: Services,
        intercepted: Services | None = None,
        machine_region: Callable[[], str] = str,
        redirected: Callable[[tuple[str, int]], None] = lambda _: None,
        refused: RefusedCallers | None = None,
    ) -> None:
        """`callers` None: nobody can be told apart here, and nobody is served. `refused` counts who may not ask.

        `intercepted`: what is served to connections that were redirected here from a metadata address, None where no
        connection may be. `redirected` is told where any other redirected connection wanted to go.
        """
        self._source, self._now, self._admits, self._callers = source, now, admits, callers
        self._count, self._took, self._machine_region = count, took, machine_region
        self._direct, self._intercepted = direct, intercepted
        self._redirected = redirected
        self._refused = refused or RefusedCallers(now)

    def judge(self, sock: socket.socket) -> Accepted | HttpResponse:
        """Return what answers on this connection, or why nothing does."""
        if self._callers is None:
            return CALLERS_UNKNOWN
        try:
            ours: tuple[str, int] = sock.getsockname()[:2]
            asked = ours if self._intercepted is None else original_destination(sock) or ours
            services = self._services(ours, asked)
            if services is None:
                self._redirected(asked)
                return NOT_INTERCEPTED
            # The kernel knows a redirected client's socket under the address that it asked for.
            uid = self._callers.uid(asked, sock.getpeername()[:2])
        except (PermissionRefused, OSError) as error:
            if isinstance(error, PermissionRefused) and error.code == "caller-unmapped":
                self._refused.refuse(OVERFLOW_UID)
            log.debug("caller_unknown", why=str(error))
            return NOT_ALLOWED
        if not self._admits(uid):
            self._refused.refuse(uid)
            return NOT_ALLOWED
        return Accepted(uid, partial(self._answer, uid, services))

    def _services(self, ours: tuple[str, int], asked: tuple[str, int]) -> Services | None:
        """Return what is served to a connection that arrived at `ours` and was made to `asked`; None for nothing."""
        if asked == ours:
            return self._direct
        return self._intercepted if is_metadata_service(asked) else None

    def _answer(self, uid: int, services: Services, request: HttpRequest) -> HttpResponse:
        began, now = perf_counter(), self._now()
        service, response = respond(
            request,
            uid=uid,
            admitted=self._admits(uid),
            credential_set=self._source(now),
            services=services,
            now=now,
            machine_region=self._machine_region() if services.ec2 is not None else "",
        )
        self._count(service, response.outcome)
        self._took(service, perf_counter() - began)
        return response


class Listeners:
    """What is served over TCP now."""

    def __init__(
        self,
        servers: Sequence[asyncio.Server],
        listener: Listener,
        callers: TcpPeerLookup | None,
        *,
        tells_callers_apart: bool = True,
    ) -> None:
        """Own `servers`, the connections of `listener`, and `callers`.

        `tells_callers_apart` False: the kernel does not say whose connections are whose, and everybody is refused.
        """
        self._servers, self._listener, self._callers = servers, listener, callers
        self.tells_callers_apart = tells_callers_apart

    async def close(self, finish_s: float = FINISH_S) -> None:
        """Stop listening, answer what was asked or is about to be, and end all connections.

        SDKs come back to the next agent by themselves; a connection that was reset is an error to some of them.
        """
        for _ in range(2):
            await asyncio.sleep(0)  # accepts what waits in the backlog: closing it would be a reset
        for server in self._servers:
            server.close()
        until = asyncio.get_running_loop().time() + finish_s
        while not self._listener.is_idle and asyncio.get_running_loop().time() < until:
            self._listener.finish()
            await asyncio.sleep(0.01)
        self._listener.abort()
        for server in self._servers:
            await server.wait_closed()
        if self._callers is not None:
            self._callers.close()


class ServedHandovers(Struct, frozen=True, kw_only=True):
    """Which handovers are served over HTTP, as the configuration says.

    `token` None: not the AWS endpoint. `intercepted`: metadata services for connections that were redirected here,
    with IMDSv1 where `imdsv1`. `project` and `region` win over what the credentials say.
    """

    token: Secret | None = None
    google: bool = False
    intercepted: bool = False
    imdsv1: bool = False
    project: str = ""
    region: str = ""

    def direct_services(self, hosts: frozenset[bytes]) -> Services:
        """Return what is served to connections that were made to the listener itself, under one of `hosts`."""
        return Services(rules=RequestRules(hosts=hosts), token=self.token, google=self.google, project=self.project)

    def intercepted_services(self) -> Services | None:
        """Return what is served to connections that were made to a metadata address."""
        if not self.intercepted:
            return None
        return Services(
            rules=RequestRules(hosts=METADATA_HOSTS, methods=frozenset({b"GET", b"POST", b"PUT"})),
            google=True,
            project=self.project,
            region=self.region,
            ec2=Ec2Metadata(tokens=SessionTokens(), session_tokens_optional=self.imdsv1),
        )


async def start_listeners(
    sockets: Sequence[socket.socket],
    *,
    source: Callable[[datetime], CredentialSet],
    now: Callable[[], datetime],
    admits: Callable[[int], bool],
    count: Count,
    took: Took = lambda *_: None,
    served: ServedHandovers,
    machine_region: Callable[[], str] = str,
    redirected: Callable[[tuple[str, int]], None] = lambda _: None,
    refused: RefusedCallers | None = None,
    timeouts: Timeouts = Timeouts(),  # noqa: B008  a frozen value
) -> Listeners:
    """Serve the credential set that `source` gives for a moment on `sockets` (from `port_binding.bind`), from memory.

    `admits` is asked the uid of each caller. `redirected` is told where a connection wanted to go that was redirected
    here from no metadata address. `refused` counts who may not ask.
    """
    callers = _peer_lookup()
    credentials = CredentialListener(
        source=source,
        now=now,
        admits=admits,
        callers=callers,
        count=count,
        took=took,
        direct=served.direct_services(hosts_of(sockets)),
        intercepted=served.intercepted_services(),
        machine_region=machine_region,
        redirected=redirected,
        refused=refused,
    )
    listener = Listener(
        credentials.judge,
        count=lambda outcome: count("http", outcome),
        most=open_file_limit.most_connections(),
        timeouts=timeouts,
    )
    return Listeners(await _serve(sockets, listener), listener, callers, tells_callers_apart=callers is not None)


async def start_metrics_listener(sockets: Sequence[socket.socket], answer: Answer, count: Count) -> Listeners:
    """Serve metrics and health, which hold no secret, to everybody on this machine."""
    rules = RequestRules(hosts=hosts_of(sockets))
    accepted = Accepted(None, _checked(answer, rules, count))
    listener = Listener(
        lambda _: accepted,
        count=lambda outcome: count("metrics", outcome),
        most=METRICS_CONNECTIONS,
        evicts=True,
    )
    return Listeners(await _serve(sockets, listener), listener, None)


def unix_http(answer: Answer, count: Count) -> Callable[[], Conversation]:
    """Return what makes the HTTP conversations of the agent's Unix socket, which has admitted its callers."""
    checked = _checked(answer, RequestRules(hosts=None), count)
    return lambda: Conversation(checked, lambda outcome: count("metrics", outcome))


def hosts_of(sockets: Sequence[socket.socket]) -> frozenset[bytes]:
    """Return what a request's Host may be: the addresses themselves and `localhost`, with the port or without.

    Clients on the AWS C runtime leave the port out. A name that somebody else chose is refused either way.
    """
    names = set[str]()
    for address in map(address_of, sockets):
        host = f"[{address.host}]" if ":" in address.host else address.host
        names |= {host, f"{host}:{address.port}", "localhost", f"localhost:{address.port}"}
    return frozenset(name.encode() for name in names)


async def _serve(sockets: Sequence[socket.socket], listener: Listener) -> list[asyncio.Server]:
    """Serve on sockets that listen already; they belong to the servers from now on."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(lambda: HttpConnection(listener, loop), sock=ready, backlog=BACKLOG)
        for ready in sockets
    ]


def _checked(answer: Answer, rules: RequestRules, count: Count) -> Answer:
    """Return `answer` behind the refusals that concern every request."""

    def answer_checked(request: HttpRequest) -> HttpResponse:
        refused = refuse(request, rules, admitted=True)
        if refused is None:
            return answer(request)
        count("metrics", refused.outcome)
        return refused

    return answer_checked


def _peer_lookup() -> TcpPeerLookup | None:
    try:
        return TcpPeerLookup()
    except OSError as error:
        hint = "the loopback endpoint refuses everybody: use the environment handover, or leave the sandbox"
        log.error("callers_unknown", reason=error.strerror, missing="NETLINK_SOCK_DIAG", hint=hint)
        return None
