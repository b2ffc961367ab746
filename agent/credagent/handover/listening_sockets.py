"""The listening sockets of an agent as one value, and how it gives them to whoever will go on in its place.

As with systemd's socket units, what connects while nobody accepts waits in the kernel's queue and is not refused.
"""

import os
import socket
from typing import Self

import msgspec
from msgspec import Struct

from credagent.handover.unix.protocol import encode
from credagent.handover.unix.socket_file import BoundSocket

MOST = 64  # descriptors of one message; Linux takes up to 253 (unix(7), SCM_MAX_FD)
LINE_BYTES = 16 * 1024


class _UnixSocket(Struct, frozen=True, kw_only=True):
    path: str
    device: int
    inode: int


class _Line(Struct, frozen=True, kw_only=True):
    """What stands beside the descriptors, which come in this order."""

    unix: tuple[_UnixSocket, ...]
    endpoint: int
    metrics: int


class ListeningSockets(Struct, frozen=True, kw_only=True):
    """Sockets that listen. `endpoint`: the loopback ports for credentials. Whoever has the value closes them."""

    unix: tuple[BoundSocket, ...] = ()
    endpoint: tuple[socket.socket, ...] = ()
    metrics: tuple[socket.socket, ...] = ()

    def unix_at(self, path: str) -> BoundSocket | None:
        """Return the Unix socket to which the file at `path` leads, None where it leads to another or to none."""
        return next((bound for bound in self.unix if bound.path == path and bound.is_there()), None)

    def duplicated(self) -> Self:
        """Return the same sockets under descriptors of their own."""
        return type(self)(
            unix=tuple(msgspec.structs.replace(bound, sock=bound.sock.dup()) for bound in self.unix),
            endpoint=tuple(sock.dup() for sock in self.endpoint),
            metrics=tuple(sock.dup() for sock in self.metrics),
        )

    def close_all_but(self, kept: Self | None = None) -> None:
        """Close them, but for those that `kept` has too. Files of Unix sockets stay."""
        others = kept.all() if kept is not None else ()
        for sock in self.all():
            if sock not in others:
                sock.close()

    def send(self, connection: socket.socket) -> None:
        """Send them over a Unix socket that has room for a line (SCM_RIGHTS, unix(7)). Raises OSError."""
        places = [_UnixSocket(path=one.path, device=one.device, inode=one.inode) for one in self.unix]
        line = _Line(unix=tuple(places), endpoint=len(self.endpoint), metrics=len(self.metrics))
        payload = encode({"ok": True, **msgspec.to_builtins(line)})
        if socket.send_fds(connection, [payload], [sock.fileno() for sock in self.all()]) != len(payload):
            raise BlockingIOError("no room for the line")

    def all(self) -> tuple[socket.socket, ...]:
        """Return every socket, in the order in which they are sent."""
        return (*(bound.sock for bound in self.unix), *self.endpoint, *self.metrics)


def receive(connection: socket.socket) -> ListeningSockets | None:
    """Return what `send` has sent; None where the other side ended the connection.

    Nothing is in it where the answer is a refusal, or none that this version knows. Raises OSError.
    """
    data, descriptors, *_ = socket.recv_fds(connection, LINE_BYTES, MOST, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    try:
        line = msgspec.json.decode(data, type=_Line)
    except msgspec.DecodeError:
        line = _Line(unix=(), endpoint=0, metrics=0)
    if len(line.unix) + line.endpoint + line.metrics != len(descriptors):
        for descriptor in descriptors:
            os.close(descriptor)
        return ListeningSockets()
    sockets = iter([socket.socket(fileno=descriptor) for descriptor in descriptors])
    return ListeningSockets(
        unix=tuple(
            BoundSocket(sock=next(sockets), path=one.path, device=one.device, inode=one.inode) for one in line.unix
        ),
        endpoint=tuple(next(sockets) for _ in range(line.endpoint)),
        metrics=tuple(sockets),
    )
