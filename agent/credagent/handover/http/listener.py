"""What all connections of one listener share: who is let in, what answers, how many there may be, and time-outs."""

import socket
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from credagent.handover.connection_limits import ConnectionLimits
from credagent.handover.http.conversation import Answer
from credagent.handover.http.refusals import TOO_MANY
from credagent.handover.http.response import HttpResponse

READ_BYTES = 16 * 1024
REFUSED_CONNECTIONS = 64  # waiting to be told so; more than that are dropped without a word


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a connection may take, in seconds."""

    head_s: float = 5.0  # from a request's first byte to its last; a slow writer holds a connection no longer
    idle_s: float = 75.0  # longer than the keep-alive of any SDK's pool
    drain_s: float = 1.0  # a refused caller may still be writing: closing on it would eat the answer it should read
    unread_s: float = 10.0  # for a caller who asks and does not read: its answers are in our memory


class Accepted(Struct, frozen=True):
    """A connection that is served: the user it belongs to (None where nobody has to know) and what answers it."""

    uid: int | None
    answer: Answer


class OpenConnection(Protocol):
    """A connection, as the listener sees it."""

    def abort(self) -> None:
        """End at once."""
        ...

    def finish(self) -> None:
        """End as soon as what was asked, or is about to be asked, is answered."""
        ...


class Listener:
    """The connections of one listener.

    `judge` is asked once for each connection, before its first byte is read; it returns a response where it is not
    served. `count` is told the outcome of whatever no service has answered. A listener that `evicts` makes room for a
    new connection by ending the one that was idle longest: where everybody may connect, nobody can take all the places.
    """

    def __init__(
        self,
        judge: Callable[[socket.socket], Accepted | HttpResponse],
        *,
        count: Callable[[str], None],
        most: int,
        evicts: bool = False,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  a frozen value
    ) -> None:
        """Have at most `most` connections that are served."""
        self._judge, self.count, self.timeouts = judge, count, timeouts
        self._most, self._evicts, self._limits = most, evicts, ConnectionLimits(most)
        self._open: dict[OpenConnection, int | None] = {}  # the one that was idle longest is the first
        self._refused: set[OpenConnection] = set()
        self.buffer = memoryview(bytearray(READ_BYTES))  # shared: what was read is parsed before anything else runs

    def admit(self, connection: OpenConnection, sock: socket.socket) -> Accepted | HttpResponse | None:
        """Return what serves `connection`, or the refusal it is told; None where even that would be too much.

        Whatever is returned, `forget` must be called at the end of the connection.
        """
        found = self._judge(sock)
        if isinstance(found, Accepted):
            if self._take(found.uid):
                self._open[connection] = found.uid
                return found
            found = TOO_MANY
        self.count(found.outcome)
        if len(self._refused) >= REFUSED_CONNECTIONS:
            return None
        self._refused.add(connection)
        return found

    def answered(self, connection: OpenConnection) -> None:
        """Note that `connection` is not idle."""
        if self._evicts:
            self._open[connection] = self._open.pop(connection)

    def forget(self, connection: OpenConnection) -> None:
        """Forget a connection that has ended."""
        self._refused.discard(connection)
        if connection in self._open:
            uid = self._open.pop(connection)
            if uid is not None:
                self._limits.give_back(uid)

    def finish(self) -> None:
        """End the idle connections now, and the others when they are answered."""
        for connection in (*self._open, *self._refused):
            connection.finish()

    def abort(self) -> None:
        """End all connections at once."""
        for connection in (*self._open, *self._refused):
            connection.abort()

    @property
    def is_idle(self) -> bool:
        """Whether there is no connection."""
        return not self._open and not self._refused

    def _take(self, uid: int | None) -> bool:
        if uid is not None:
            return self._limits.take(uid)
        if len(self._open) >= self._most and self._evicts:
            next(iter(self._open)).abort()
            return True
        return len(self._open) < self._most
