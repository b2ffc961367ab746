"""Starts and ends what the agent serves over HTTP: the listeners on loopback, and HTTP on the agent's own socket."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import datetime

from credagent import log
from credagent.credentials import CredentialSet
from credagent.errors import PermissionRefused
from credagent.handover.http.connection import HttpConnection
from credagent.handover.http.conversation import Answer, Conversation
from credagent.handover.http.listener import Accepted, Listener, Timeouts
from credagent.handover.http.port_binding import BACKLOG, address_of
from credagent.handover.http.refusals import CALLERS_UNKNOWN, NOT_ALLOWED, RequestRules, refuse
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.respond import Services, respond
from credagent.handover.http.response import HttpResponse
from credagent.handover.http.tcp_peer_uid import TcpPeerLookup
from credagent.log_throttle import LogThrottle
from credagent.secret import Secret
from credagent.system import open_file_limit

METRICS_CONNECTIONS = 32
FINISH_S = 1.0  # for connections that were accepted and not answered yet when the agent stops

Count = Callable[[str, str], None]
"""Told of each answered request: the service (`endpoint`, `metadata`, `http`, `metrics`) and its outcome."""


class CredentialListener:
    """Serves the credential set in force to the users that may ask."""

    def __init__(
        self,
        *,
        source: Callable[[], CredentialSet],
        now: Callable[[], datetime],
        admits: Callable[[int], bool],
        callers: TcpPeerLookup | None,
        count: Count,
        services: Services,
    ) -> None:
        """`callers` None: nobody can be told apart here, and nobody is served."""
        self._source, self._now, self._admits, self._callers = source, now, admits, callers
        self._count, self._services = count, services
        self._refused_lately = LogThrottle()

    def judge(self, sock: socket.socket) -> Accepted | HttpResponse:
        """Return what answers on this connection, or why nothing does."""
        if self._callers is None:
            return CALLERS_UNKNOWN
        try:
            uid = self._callers.uid(sock.getsockname()[:2], sock.getpeername()[:2])
        except (PermissionRefused, OSError) as error:
            log.debug("caller_unknown", why=str(error))
            return NOT_ALLOWED
        if not self._admits(uid):
            if self._refused_lately.is_news(uid):
                log.warning("caller_refused", uid=uid)
            return NOT_ALLOWED
        services = self._services
        return Accepted(uid, lambda request: self._answer(request, uid, services))

    def _answer(self, request: HttpRequest, uid: int, services: Services) -> HttpResponse:
        service, response = respond(
            request,
            admitted=self._admits(uid),
            credential_set=self._source(),
            services=services,
            now=self._now(),
        )
        self._count(service, response.outcome)
        return response


class Listeners:
    """What is served over TCP now."""

    def __init__(self, servers: Sequence[asyncio.Server], listener: Listener, callers: TcpPeerLookup | None) -> None:
        """Own `servers`, the connections of `listener`, and `callers`."""
        self._servers, self._listener, self._callers = servers, listener, callers

    @property
    def tells_callers_apart(self) -> bool:
        """Whether the kernel says whose connections are whose; else everybody is refused."""
        return self._callers is not None

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
    timeouts: Timeouts = Timeouts(),  # noqa: B008  a frozen value
) -> Listeners:
    """Serve the credential set that `source` gives on `sockets` (from `port_binding.bind`), from memory.

    `token` None: the AWS endpoint is not served; `google` False: the metadata server is not. `admits` is asked the uid
    of each caller.
    """
    callers = _peer_lookup()
    credentials = CredentialListener(
        source=source,
        now=now,
        admits=admits,
        callers=callers,
        count=count,
        services=Services(token=token, google=google, project=project, rules=RequestRules(hosts=hosts_of(sockets))),
    )
    listener = Listener(
        credentials.judge,
        count=lambda outcome: count("http", outcome),
        most=open_file_limit.most_connections(),
        timeouts=timeouts,
    )
    return Listeners(await _serve(sockets, listener), listener, callers)


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
