"""Serves agent.sock: admits callers and keeps subscribers supplied. Answers come from elsewhere."""

import asyncio
import socket
import time

from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.connection import HttpFactory, UnixConnection
from credagent.handover.unix.connection_limits import ConnectionLimits
from credagent.handover.unix.rate_limits import RateLimits
from credagent.handover.unix.request_dispatch import AgentOperations, Subscriber, set_line
from credagent.system import open_file_limit

UNANSWERED_BYTES = 32 * 1024 * 1024  # of all callers' requests, where a thousand of them send a large one at once


class SocketServer:
    """The connections of one agent. `admission` may be replaced: those that it no longer admits are ended."""

    def __init__(self, agent: AgentOperations, admission: AccessRules, http_factory: HttpFactory | None = None) -> None:
        """Serve `agent`; a connection that begins like HTTP goes to a protocol of `http_factory`."""
        self.agent, self.http_factory = agent, http_factory
        self.connections: set[UnixConnection] = set()
        self._admission = admission
        self.places = ConnectionLimits()
        self.costs = RateLimits(time.monotonic)
        self._listener: asyncio.Server | None = None

    @property
    def admission(self) -> AccessRules:
        """Who may ask now."""
        return self._admission

    @admission.setter
    def admission(self, admission: AccessRules) -> None:
        self._admission = admission
        for connection in list(self.connections):
            if not connection.is_welcome():
                connection.end()  # else a user who was taken out of the configuration would be supplied for ever

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept connections on a socket that is bound, in place of the one before."""
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            self._listener.close()
        self._listener = await loop.create_unix_server(
            lambda: UnixConnection(self), sock=sock, backlog=open_file_limit.MOST
        )

    def publish(self) -> None:
        """Send the present set to every subscriber; one that has not read the last is sent the newest when it has."""
        waiting = [connection for connection in self.connections if connection.subscriber is not None]
        if waiting:
            line = set_line(self.agent)
            for connection in waiting:
                connection.supply(line)

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return who is kept supplied, in the order of their process numbers."""
        found = (connection.subscriber for connection in self.connections)
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.pid))

    def has_room_for_unanswered(self) -> bool:
        """Tell whether what all callers have sent, and is not answered yet, is no more than may be kept."""
        return sum(connection.unanswered_bytes for connection in self.connections) <= UNANSWERED_BYTES

    def close(self) -> None:
        """Stop accepting, and end every connection. The file belongs to whoever bound it."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.end()
