"""Who is calling on a Unix socket, as the kernel says, and whether they may. What they get is decided elsewhere."""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Self

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


class AccessRules(Struct, frozen=True, kw_only=True):
    """Who may ask, and who may push a bundle. `deliver_users` None: whoever may ask."""

    own_uid: int
    users: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    deliver_users: frozenset[int] | None = None

    @classmethod
    def resolve(
        cls,
        *,
        users: Iterable[str],
        groups: Iterable[str],
        deliver_users: Iterable[str] = (),
        own_uid: int | None = None,
    ) -> tuple[Self, tuple[str, ...]]:
        """Look names (or numbers) up on this machine; return the admission and the names that do not exist here.

        A missing name is information, since one configuration serves many machines. It admits nobody, and a
        `deliver_users` of missing names only admits nobody beside root and the agent's own user.
        """
        found_users, missing_users = _look_up(users, _uid)
        found_groups, missing_groups = _look_up(groups, _gid)
        named_deliverers = tuple(deliver_users)
        deliverers, missing_deliverers = _look_up(named_deliverers, _uid)
        admission = cls(
            own_uid=os.geteuid() if own_uid is None else own_uid,
            users=found_users,
            groups=found_groups,
            deliver_users=deliverers if named_deliverers else None,
        )
        return admission, tuple(dict.fromkeys(missing_users + missing_groups + missing_deliverers))

    def may_ask(self, caller: Caller) -> bool:
        """Say whether `caller` may have what workers get."""
        if caller.uid == OVERFLOW_UID:
            return False
        by_group = caller.gid in self.groups or not self.groups.isdisjoint(caller.groups)
        return self.is_privileged(caller) or caller.uid in self.users or by_group

    def may_deliver(self, caller: Caller) -> bool:
        """Say whether `caller` may push a bundle. Only what a trusted sender signed is admitted, whoever brings it."""
        if self.deliver_users is None:
            return self.may_ask(caller)
        return self.is_privileged(caller) or (caller.uid in self.deliver_users and caller.uid != OVERFLOW_UID)

    def may_connect(self, caller: Caller) -> bool:
        """Say whether there is anything that `caller` may do."""
        return self.may_ask(caller) or self.may_deliver(caller)

    def is_privileged(self, caller: Caller) -> bool:
        """Say whether `caller` is root or the agent's own user."""
        return caller.uid in (0, self.own_uid) and caller.uid != OVERFLOW_UID


def _look_up(names: Iterable[str], number_of: Callable[[str], int]) -> tuple[frozenset[int], tuple[str, ...]]:
    found: set[int] = set()
    missing: list[str] = []
    for name in names:
        try:
            found.add(int(name) if name.isdecimal() else number_of(name))
        except KeyError:
            missing.append(name)
    return frozenset(found), tuple(missing)


def _uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid
