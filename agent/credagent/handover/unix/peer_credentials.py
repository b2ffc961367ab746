"""Who is calling on a Unix socket, as the kernel says. Whether they may is decided in `caller_access`."""

import socket
import struct

from msgspec import Struct

_SO_PEERGROUPS = 59  # Linux 4.13 and later; the socket module has no name for it
_MOST_GROUPS_BYTES = 1_024  # the most that Python's getsockopt reads: 256 supplementary groups
_CREDENTIALS = struct.Struct("3i")

OVERFLOW_UID = 65_534
"""How a user of another user namespace looks. Nobody can tell who is meant, so nobody is."""


class Caller(Struct, frozen=True, kw_only=True):
    """The process at the other end when it connected (a socket it passed on still names the one that connected)."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


def caller_of(connection: socket.socket) -> Caller:
    """Ask the kernel who connected (SO_PEERCRED and SO_PEERGROUPS in unix(7) and socket(7)). Raises OSError."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(found)
    return Caller(pid=pid, uid=uid & 0xFFFF_FFFF, gid=gid & 0xFFFF_FFFF, groups=_groups_of(connection))


def _groups_of(connection: socket.socket) -> frozenset[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS_BYTES)
    except OSError:  # an old kernel, or more groups than can be read: the primary group alone counts
        return frozenset()
    return frozenset(gid for (gid,) in struct.iter_unpack("I", raw))
