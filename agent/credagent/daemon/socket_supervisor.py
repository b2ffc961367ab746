"""The agent's Unix sockets while it runs: served, and bound again where somebody has removed the file."""

import asyncio
from collections.abc import Callable

from credagent import log
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent
from credagent.errors import CredagentError
from credagent.handover.unix import socket_file
from credagent.handover.unix.request_dispatch import Subscriber
from credagent.handover.unix.server import SocketServer

LOOK_S = 10.0  # a worker waits three times as long for an agent


class SocketSupervisor:
    """One server for each socket that the service has bound."""

    def __init__(self, service: Agent, server: Callable[[], SocketServer]) -> None:
        """Serve what `service` has bound."""
        self._service = service
        self.servers = [server() for _ in service.bound]
        self.trouble = ""

    async def serve(self) -> None:
        """Begin to accept."""
        for server, bound in zip(self.servers, self._service.bound, strict=True):
            await server.start(bound.sock)

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return who is kept supplied."""
        return tuple(one for server in self.servers for one in server.subscribers())

    async def keep(self) -> None:
        """Look now and then whether the files are still there, for ever: a cleaner of /tmp does not know us."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Bind again what was removed. Connections that exist stay."""
        for place, bound in enumerate(self._service.bound):
            if not bound.is_there():
                await self._bind_again(place, bound.path)

    async def close(self) -> None:
        """Stop accepting, answer what was asked, end every connection, and remove the files."""
        for server in self.servers:
            await server.finish()
        for bound in self._service.bound:
            bound.close()

    async def _bind_again(self, place: int, path: str) -> None:
        service = self._service
        try:
            runtime_folders.prepare(service.config)
            again = socket_file.bind(path)
        except CredagentError as error:
            if self.trouble != error.code:
                log.warning("socket_lost", path=path, code=error.code, why=error.why, hint=error.hint)
            self.trouble = error.code
            return
        before, service.bound[place] = service.bound[place], again
        await self.servers[place].start(again.sock)
        before.close()
        self.trouble = ""
        log.warning("socket_bound_again", path=path, why="its file was removed")
        service.handover.write(service.custody.store.current)  # whoever removed the one may have removed the other
