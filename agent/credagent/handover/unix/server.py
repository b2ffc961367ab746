"""Serves agent.sock: lets callers in and tells subscribers of new sets. Answers come from elsewhere."""

import asyncio
import socket
import time
from collections.abc import Callable

from credagent.errors import CredagentError
from credagent.handover.connection_limits import ConnectionLimits
from credagent.handover.refused_callers import RefusedCallers
from credagent.handover.unix.caller_access import AccessRules, busy, refuse_connection
from credagent.handover.unix.connection import HttpConversation, SharedState, SocketLimits, UnixConnection
from credagent.handover.unix.peer_credentials import caller_of
from credagent.handover.unix.protocol import encode_refusal
from credagent.handover.unix.rate_limits import RateLimits
from credagent.handover.unix.request_dispatch import AgentOperations, Subscriber
from credagent.system import open_file_limit

KEPT_FOR_PRIVILEGED = 16  # connections: root can still ask for the status when workers have taken all the rest
ACCEPTED_AT_ONCE = 16  # those are answered before the next are accepted, when all workers of a machine come back
FINISH_S = 1.0  # for callers that were accepted and not answered yet when the agent stops


class SocketServer:
    """The connections of one agent. `rules` may be replaced: those that they no longer admit are ended."""

    def __init__(
        self,
        agent: AgentOperations,
        rules: AccessRules,
        http: Callable[[], HttpConversation] | None = None,
        *,
        places: ConnectionLimits | None = None,
        limits: SocketLimits = SocketLimits(),  # noqa: B008  a frozen value
        monotonic: Callable[[], float] = time.monotonic,
        refused: RefusedCallers | None = None,
        handed_over: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Serve `agent`; a caller that speaks HTTP has a conversation of `http`.

        `places` None: as many connections as the process may have open. `refused` counts who is not let in,
        `handed_over` sets that were `sent` to subscribers and `applied` by them.
        """
        self.connections: set[UnixConnection] = set()
        self._places = places or _as_many_as_possible()
        self._shared = SharedState(
            agent,
            rules,
            places=self._places,
            rate_limits=RateLimits(monotonic),
            limits=limits,
            http=http,
            handed_over=handed_over,
        )
        self._refused = refused or RefusedCallers()
        self._listener: asyncio.Server | None = None

    @property
    def rules(self) -> AccessRules:
        """Who may ask now."""
        return self._shared.rules

    @rules.setter
    def rules(self, rules: AccessRules) -> None:
        self._shared.rules = rules
        for connection in list(self.connections):
            caller, subscribed = connection.caller, connection.subscriber is not None
            if not rules.may_connect(caller) or (subscribed and not rules.may_ask(caller)):
                connection.end()  # else a user who was taken out of the configuration would be supplied for ever

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept connections on a socket that is bound, in place of the one before."""
        if self._listener is not None:
            self._listener.close()
        self._listener = await asyncio.start_unix_server(
            self._accept, sock=sock, backlog=ACCEPTED_AT_ONCE, limit=self._shared.limits.freely_kept_bytes
        )
        sock.listen(open_file_limit.MOST)  # the kernel's queue; asyncio's `backlog` is also how many it accepts at once

    def publish(self) -> None:
        """Send the present set to every subscriber; one that has not read the last is sent the newest when it has."""
        subscribed = [connection for connection in self.connections if connection.subscriber is not None]
        if subscribed:
            shared = self._shared
            shared.present_set = b"".join(shared.set_lines(shared.agent.worker_document()))
            for connection in subscribed:
                connection.publish()

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return who is kept supplied, in the order of their process numbers."""
        found = (connection.subscriber for connection in self.connections)
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.pid))

    def standing_by(self) -> list[UnixConnection]:
        """Return the connections of those who hold this agent's listening sockets too, to go on in its place."""
        return [connection for connection in self.connections if connection.stands_by]

    def close(self) -> None:
        """Stop accepting, and end every connection. The file belongs to whoever bound it."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.end()

    async def finish(self, finish_s: float = FINISH_S) -> None:
        """Stop accepting, answer what was asked or is about to be, and end every connection."""
        for _ in range(open_file_limit.MOST // ACCEPTED_AT_ONCE + 2):
            await asyncio.sleep(0)  # accepts what waits in the backlog: closing it would be a reset
        if self._listener is not None:
            self._listener.close()
        until = asyncio.get_running_loop().time() + finish_s
        while self.connections and asyncio.get_running_loop().time() < until:
            for connection in list(self.connections):
                connection.finish()
            await asyncio.sleep(0.01)
        self.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Judge a caller before a byte of it is looked at. Who may do nothing holds no place."""
        try:
            caller = caller_of(writer.get_extra_info("socket"))
        except OSError:  # gone already
            writer.transport.abort()
            return
        rules = self._shared.rules
        refusal: CredagentError | None = refuse_connection(rules, caller, self._refused)
        if refusal is None and not self._places.take(caller.uid, privileged=rules.is_privileged(caller)):
            refusal = busy("too many connections")
        if refusal is not None:
            writer.write(encode_refusal(refusal))
            writer.close()
            return
        connection = UnixConnection(self._shared, caller, reader, writer)
        self.connections.add(connection)
        connection.start(self._forget)

    def _forget(self, connection: UnixConnection) -> None:
        self.connections.discard(connection)
        self._places.give_back(connection.caller.uid)


def _as_many_as_possible() -> ConnectionLimits:
    open_file_limit.make_room()
    return ConnectionLimits(open_file_limit.most_connections(), kept_for_privileged=KEPT_FOR_PRIVILEGED)
