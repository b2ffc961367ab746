"""Who may ask and deliver on the agent's socket, who is refused, with which code, and what is logged of it.

The same rules decide over TCP, where only a uid is known (`handover/http/tcp_access`). What callers get is elsewhere.
"""

import grp
import os
import pwd
from collections.abc import Callable, Iterable
from typing import Self

from msgspec import Struct

from credagent.errors import PermissionRefused, Unavailable
from credagent.handover.refused_callers import RefusedCallers
from credagent.handover.unix.peer_credentials import OVERFLOW_UID, Caller
from credagent.handover.unix.protocol import Attest, Deliver, GetIdentity, GetSockets, Request


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
        """Look names (or numbers) up on this machine; return the rules and the names that do not exist here.

        A missing name is information, since one configuration serves many machines. It admits nobody, and a
        `deliver_users` of missing names only admits nobody beside root and the agent's own user.
        """
        found_users, missing_users = _look_up(users, _uid)
        found_groups, missing_groups = _look_up(groups, _gid)
        named_deliverers = tuple(deliver_users)
        deliverers, missing_deliverers = _look_up(named_deliverers, _uid)
        rules = cls(
            own_uid=os.geteuid() if own_uid is None else own_uid,
            users=found_users,
            groups=found_groups,
            deliver_users=deliverers if named_deliverers else None,
        )
        return rules, tuple(dict.fromkeys(missing_users + missing_groups + missing_deliverers))

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


def refuse_connection(rules: AccessRules, caller: Caller, refused: RefusedCallers) -> PermissionRefused | None:
    """Return why `caller` may not even connect, None for one that may."""
    if rules.may_connect(caller):
        return None
    refused.refuse(caller.uid, pid=caller.pid, socket="agent")
    why = f"user {caller.uid} is not allowed on the socket"
    return PermissionRefused("not-allowed", why, hint="add the user to [workers] users, or to one of its groups")


def require_right(rules: AccessRules, caller: Caller, request: Request) -> None:
    """Raise PermissionRefused (`not-allowed`) where `caller` may not have what `request` asks for.

    This machine's public key and audience, and what its cloud says of them, are for everybody who may connect:
    deliverers seal to them.
    """
    match request:
        case Deliver():
            allowed, right, key = rules.may_deliver(caller), "deliver bundles", "bundle.deliver_users"
        case GetIdentity() | Attest():
            return
        case GetSockets():
            # Who has the agent's uid can end it and listen in its place as it is; nobody else gets what it is known by.
            allowed, right, key = caller.uid == rules.own_uid, "stand by", "with which user the agent runs"
        case _:
            allowed, right, key = rules.may_ask(caller), "ask for credentials", "workers.users, workers.groups"
    if not allowed:
        raise PermissionRefused("not-allowed", f"this user is not allowed to {right}", hint=f"see {key}")


def busy(why: str) -> Unavailable:
    """Return the refusal of a caller that may ask, and for whom there is no room at the moment."""
    return Unavailable("busy", why, hint="try again in a moment")


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
