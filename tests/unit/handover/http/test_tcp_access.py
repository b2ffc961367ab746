"""Who may ask over TCP, where the kernel names the user that opened the connection and not the process that asks."""

import os

from credagent.handover.http.tcp_access import TcpAccess
from credagent.handover.unix.caller_access import AccessRules


def admits(
    uid: int, *, own_uid: int = 990, users: frozenset[int] = frozenset({1000}), groups: frozenset[int] = frozenset()
) -> bool:
    admission = AccessRules(own_uid=own_uid, users=users, groups=groups)
    return TcpAccess(admission, monotonic=lambda: 0.0).admits(uid)


def test_workers_and_the_agents_own_user_may_ask() -> None:
    assert admits(1000)
    assert admits(990)
    assert not admits(1001)


def test_root_may_not_ask_since_it_opens_connections_for_others() -> None:
    assert not admits(0)
    assert not admits(0, own_uid=0)
    assert not admits(0, own_uid=0, users=frozenset(), groups=frozenset({100}))
    assert not admits(0, groups=frozenset({0}))


def test_root_may_ask_where_workers_are_root() -> None:
    assert admits(0, own_uid=0, users=frozenset())
    assert admits(0, users=frozenset({0, 1000}))


def test_a_user_is_admitted_by_a_group_that_the_user_database_gives() -> None:
    root_groups = frozenset(os.getgrouplist("daemon", 1))
    assert admits(1, groups=root_groups)
    assert not admits(1, groups=frozenset({77777}))
    assert not admits(4_000_000, groups=root_groups)
