"""Whose connection is it: the uid of the process that opened a TCP connection to us, asked of the kernel by sock_diag.

One exact question for one 4-tuple, never a dump and never a cache: a port that was a worker's a moment ago may be
anybody's now. Who may ask is decided elsewhere. See sock_diag(7) and ADR-02-sock-diag.md.
"""

import socket
import struct
from typing import NamedTuple

from credagent.errors import PermissionRefused
from credagent.handover.unix.peer_credentials import OVERFLOW_UID

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
TCP_ESTABLISHED = 1
NO_COOKIE = 0xFFFFFFFF
KERNEL = 0  # its address on a netlink socket

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBBI")  # inet_diag_req_v2 before its id: family, protocol, extensions, padding, states
_SOCKET_ID = struct.Struct("!HH16s16sIII")  # inet_diag_sockid: ports, addresses, interface, cookie (read as opaque)
_ANSWER = struct.Struct("=BBBB48sIIIII")  # inet_diag_msg: family, state, _, _, id, expires, queues, uid, inode
_ANSWER_LIMIT_BYTES = 4096  # the kernel appends attributes that nobody asked for; they are not looked at

_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 inside IPv6: RFC 4291, section 2.5.5.2
_IPV4_BYTES = 4

End = tuple[bytes, int]
"""An address in network order, of 4 or 16 bytes, and a port."""


class _Row(NamedTuple):
    """What the kernel said of one socket."""

    state: int
    source: End
    destination: End
    uid: int
    inode: int


class TcpPeerLookup:
    """Tells whose connection it is. Owns one netlink socket; not for use by two threads."""

    def __init__(self) -> None:
        """Open the netlink socket; raises OSError where the kernel or a sandbox does not offer it."""
        # Not blocking: the kernel answers within send(), and what is not there by then is a refusal.
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._netlink = socket.socket(socket.AF_NETLINK, kind, NETLINK_SOCK_DIAG)
        self._netlink.bind((0, 0))
        self._sequence = 0
        self._overflow_uid = _overflow_uid()

    def close(self) -> None:
        """Give the netlink socket back."""
        self._netlink.close()

    def uid(self, ours: tuple[str, int], theirs: tuple[str, int]) -> int:
        """Return the uid that opened the connection between `ours` (our end) and `theirs`.

        A socket that was opened by root and handed on reads as 0, whoever holds it now. Raises PermissionRefused
        where the connection is not established any more, has no owner, or its owner has no name in our user namespace.
        """
        their_end, our_end = _canonical(theirs), _canonical(ours)
        row = self._ask(their_end, our_end)
        if (row.source, row.destination) != (their_end, our_end):
            raise _refused("another connection was described")  # a listener on that port answers for a lost one
        if row.state != TCP_ESTABLISHED:
            raise _refused("the connection is not established")
        if row.inode == 0:
            raise _refused("the connection has no owner")  # closed: the kernel then says uid 0, which is not root
        if row.uid == self._overflow_uid:
            raise _refused("the caller's user does not exist in this user namespace", "caller-unmapped")
        return row.uid

    def _ask(self, source: End, destination: End) -> _Row:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        question = _question(source, destination)
        length = _HEADER.size + len(question)
        try:
            self._netlink.send(_HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, self._sequence, 0) + question)
            while True:  # bounded: an answer to an earlier question is dropped, an empty queue raises
                answer, sender = self._netlink.recvfrom(_ANSWER_LIMIT_BYTES)
                _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
                if sender[0] == KERNEL and sequence == self._sequence:
                    break
        except OSError as error:
            raise _refused(f"the kernel did not say whose connection it is ({error.strerror})") from error
        if kind != SOCK_DIAG_BY_FAMILY:
            raise _refused("the kernel does not know the connection")  # NLMSG_ERROR: already gone
        return _decoded(answer)


def _question(source: End, destination: End) -> bytes:
    family = socket.AF_INET if len(source[0]) == _IPV4_BYTES else socket.AF_INET6
    # Packed as 16 bytes, an address of 4 is padded with zeros.
    return _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << TCP_ESTABLISHED) + _SOCKET_ID.pack(
        source[1], destination[1], source[0], destination[0], 0, NO_COOKIE, NO_COOKIE
    )


def _decoded(answer: bytes) -> _Row:
    family, state, _, _, socket_id, _, _, _, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    sport, dport, source, destination, _, _, _ = _SOCKET_ID.unpack(socket_id)
    return _Row(state, (_unpadded(family, source), sport), (_unpadded(family, destination), dport), uid, inode)


def _canonical(end: tuple[str, int]) -> End:
    host = end[0].partition("%")[0]
    return _unmapped(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)), end[1]


def _unmapped(address: bytes) -> bytes:
    """Show IPv4 inside IPv6 as IPv4: the kernel keeps such connections under their IPv4 addresses."""
    return address.removeprefix(_MAPPED) if len(address) > _IPV4_BYTES else address


def _unpadded(family: int, packed: bytes) -> bytes:
    return packed[:_IPV4_BYTES] if family == socket.AF_INET else _unmapped(packed)


def _overflow_uid() -> int:
    """Return the uid that stands for every user from outside our user namespace."""
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            return int(file.read(32))
    except FileNotFoundError:  # a hardened unit has no /proc/sys (ProcSubset=pid); nobody changes the kernel's default
        return OVERFLOW_UID


def _refused(why: str, code: str = "unknown-caller") -> PermissionRefused:
    return PermissionRefused(code, why, what="TCP connection", hint="connect again, from this machine")
