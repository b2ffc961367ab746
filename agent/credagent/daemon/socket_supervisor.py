"""The agent's Unix sockets while it runs: served, and bound again where their files are gone."""

from collections.abc import Callable

from credagent import log
from credagent.daemon.agent import Agent
from credagent.handover.unix import socket_file
from credagent.handover.unix.request_dispatch import Subscriber
from credagent.handover.unix.server import SocketServer


class SocketSupervisor:
    """One server for each socket that the agent has bound."""

    def __init__(self, agent: Agent, server: Callable[[], SocketServer]) -> None:
        """Serve what `agent` has bound."""
        self._agent = agent
        self.servers = [server() for _ in agent.bound]

    async def serve(self) -> None:
        """Begin to accept."""
        for server, bound in zip(self.servers, self._agent.bound, strict=True):
            await server.start(bound.sock)

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return who is kept supplied."""
        return tuple(one for server in self.servers for one in server.subscribers())

    def are_there(self) -> bool:
        """Tell whether every file still leads to its socket."""
        return all(bound.is_there() for bound in self._agent.bound)

    async def bind_again(self) -> None:
        """Bind anew each socket whose file is gone. Connections that exist stay. Raises CredagentError."""
        for place, bound in enumerate(self._agent.bound):
            if bound.is_there():
                continue
            again = socket_file.bind(bound.path)
            self._agent.bound[place] = again
            await self.servers[place].start(again.sock)
            bound.close()
            for connection in (one for server in self.servers for one in server.standing_by()):
                connection.end()  # it comes back for the new one
            log.warning("socket_bound_again", path=bound.path, why="its file was removed")

    async def close(self) -> None:
        """Stop accepting, answer what was asked, end every connection, and remove the files.

        Files stay where somebody else has the sockets, too: callers wait in the queue until he accepts.
        """
        taken_over = any(server.standing_by() for server in self.servers)
        for server in self.servers:
            await server.finish()
        for bound in self._agent.bound:
            bound.sock.close() if taken_over else bound.close()
