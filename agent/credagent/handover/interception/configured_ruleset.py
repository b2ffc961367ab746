"""The ruleset that a configuration means on this machine: whose connections are redirected, and to which ports."""

import grp
import pwd
from collections.abc import Iterable

from credagent.config import Config
from credagent.errors import ConfigurationError
from credagent.handover.interception.nftables_rules import ROOT, Ruleset
from credagent.handover.unix.caller_access import AccessRules

SUBORDINATE_USERS = "/etc/subuid"
_MOST_NUMBER = 0xFFFFFFFE
IPV4, IPV6 = "127.0.0.1", "::1"  # where the kernel's `redirect` leads for a connection of this machine's own


def configured_ruleset(config: Config, *, agent: int) -> Ruleset:
    """Return the ruleset for an agent that runs as user `agent`. Raises ConfigurationError where there can be none.

    The kernel knows a socket's user and primary group, and not its supplementary groups: members of a group in
    `workers.groups` are listed by their numbers, as the user database names them at this moment. In a user namespace
    a user can become the uids of subuid(5) as well: they are redirected, and then refused, since nobody named them.
    A rootless container of his with the host's network would reach the machine's role otherwise.
    """
    if not config.workers.intercept:
        hint = "set intercept = true in [workers], or disable credagent-intercept.service"
        raise ConfigurationError(
            "interception-off", "interception is not configured", what="workers.intercept", hint=hint
        )
    rules, _missing = AccessRules.resolve(users=config.workers.users, groups=config.workers.groups, own_uid=agent)
    members = {uid for gid in rules.groups for uid in _members(gid)}
    ports = {address.host: address.port for address in config.endpoint.listen}
    if not ports.get(IPV4):
        hint = f'set endpoint.listen to "{IPV4}:9817", and "[{IPV6}]:9817" beside it'
        raise ConfigurationError("interception-port", f"no fixed port on {IPV4}", what="endpoint.listen", hint=hint)
    users = rules.users | members
    ruleset = Ruleset(
        agent=agent,
        users=users,
        subordinate_users=tuple(_subordinates(users - {ROOT, agent})),
        groups=rules.groups,
        port=ports[IPV4],
        port_ipv6=ports.get(IPV6) or ports[IPV4],
        rejects_others=config.workers.intercept_others == "reject",
    )
    if not ruleset.redirected_users and not ruleset.groups:
        hint = "name users of this machine; root and the agent's own user are never redirected"
        raise ConfigurationError("interception-of-nobody", "no such user exists here", what="workers.users", hint=hint)
    return ruleset


def _members(gid: int) -> set[int]:
    members = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid}
    try:
        names = grp.getgrgid(gid).gr_mem
    except KeyError:
        return members
    return members | {user.pw_uid for user in pwd.getpwall() if user.pw_name in names}


def _subordinates(users: Iterable[int], path: str = SUBORDINATE_USERS) -> list[tuple[int, int]]:
    """Return the ranges of uids that `users` have in subuid(5); another database of them is not asked."""
    owners = {str(uid) for uid in users}
    owners |= {user.pw_name for user in pwd.getpwall() if str(user.pw_uid) in owners}
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                owner, _, numbers = line.strip().partition(":")
                first, _, count = numbers.partition(":")
                if owner in owners and first.isdecimal() and count.isdecimal() and int(count):
                    found.append((int(first), min(int(first) + int(count) - 1, _MOST_NUMBER)))
    except OSError:
        return []  # a machine without user namespaces for users
    return sorted(found)
