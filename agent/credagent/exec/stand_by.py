"""`exec`'s place behind an agent: a connection that holds the agent's listening sockets, and tells of its end.

What connects to them while no agent accepts waits in the kernel's queue. Whether this `exec` goes on with them is
decided elsewhere.
"""

import socket
from typing import Self

from credagent.handover.listening_sockets import ListeningSockets, receive
from credagent.worker.credagent_worker import refuse_stranger


class StandBy:
    """One connection to an agent, which may be ours. `sockets` None: it has not answered yet."""

    def __init__(self, connection: socket.socket) -> None:
        """Wait on `connection`, which has asked."""
        self._connection = connection
        self.sockets: ListeningSockets | None = None
        self.agent_ended = False

    @classmethod
    def behind(cls, path: str) -> Self | None:
        """Ask the agent at `path` for its sockets, None where nobody listens or a stranger does."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            connection.connect(path)
            refuse_stranger(connection, path)
            connection.sendall(b'{"op":"stand-by"}\n')
        except OSError:
            connection.close()
            return None
        return cls(connection)

    def fileno(self) -> int:
        """Return what is readable when the agent has answered, or ended."""
        return self._connection.fileno()

    def look(self) -> None:
        """Take what has arrived. Never blocks."""
        while not self.agent_ended:
            try:
                arrived = receive(self._connection)
            except BlockingIOError:
                return
            except OSError:
                arrived = None
            if arrived is None:
                self.agent_ended = True
            elif self.sockets is None:
                self.sockets = arrived

    def close(self) -> None:
        """Leave; the sockets stay open."""
        self._connection.close()
