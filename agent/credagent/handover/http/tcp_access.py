"""Which uid may ask over TCP. Whose a connection is, `tcp_peer_uid` finds out; the rules are `unix/caller_access`'s.

On a Unix socket the kernel names the process that asks. Over TCP it names the one that opened the connection, and root
opens connections for others (port forwarders, container proxies, inetd). So root may ask over TCP only where the
workers run as root; it loses nothing, for it has the Unix socket. See ADR-03-root-over-tcp.md.
"""

import os
import pwd
from collections.abc import Callable

from credagent.handover.unix.caller_access import AccessRules

ROOT = 0
REMEMBERED_USERS = 64
REMEMBERED_S = 60.0  # the user database may be a network away: a refused caller must not make us ask it each time


class TcpAccess:
    """Says which uid may ask. Remembers groups of users for a minute (never whose a connection is)."""

    def __init__(self, rules: AccessRules, *, monotonic: Callable[[], float]) -> None:
        """Take who may ask by name; `monotonic` in seconds."""
        nobody_named = not rules.users and not rules.groups
        workers_are_root = ROOT in rules.users or (rules.own_uid == ROOT and nobody_named)
        users = rules.users | {rules.own_uid}
        self._users = users if workers_are_root else users - {ROOT}
        self._groups = rules.groups
        self._monotonic = monotonic
        self._remembered: dict[int, tuple[float, bool]] = {}

    def admits(self, uid: int) -> bool:
        """Tell whether `uid` may ask: by name, or by a group that the user database gives it."""
        if uid in self._users:
            return True
        if uid == ROOT or not self._groups:
            return False
        now = self._monotonic()
        until, admitted = self._remembered.get(uid, (now, False))
        if until <= now:
            admitted = not self._groups.isdisjoint(_groups_of(uid))
            if len(self._remembered) >= REMEMBERED_USERS:
                self._remembered.clear()
            self._remembered[uid] = (now + REMEMBERED_S, admitted)
        return admitted


def _groups_of(uid: int) -> frozenset[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
