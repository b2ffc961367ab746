"""Who calls is what the kernel says, and who may is what the configuration says."""

import os
import shutil
import socket
import tempfile
from typing import NoReturn

import pytest

from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import OVERFLOW_UID, Caller, caller_of

WORKER, STRANGER, DELIVERER, OWN = 1000, 1001, 1002, 990
DASK_GROUP = 2000

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")


def caller(uid: int, gid: int = 3000, *groups: int) -> Caller:
    return Caller(pid=1, uid=uid, gid=gid, groups=frozenset(groups))


ADMISSION = AccessRules(own_uid=OWN, users=frozenset({WORKER}), groups=frozenset({DASK_GROUP}))


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (caller(0), True),
        (caller(OWN), True),
        (caller(WORKER), True),
        (caller(STRANGER), False),
        (caller(STRANGER, DASK_GROUP), True),
        (caller(STRANGER, 3000, 5, DASK_GROUP), True),
        (caller(OVERFLOW_UID, DASK_GROUP), False),
    ],
)
def test_root_the_agents_user_and_the_workers_may_ask(who: Caller, *, may: bool) -> None:
    assert ADMISSION.may_ask(who) is may
    assert ADMISSION.may_deliver(who) is may


def test_somebody_from_another_user_namespace_is_nobody_even_where_nobody_is_named() -> None:
    admission = AccessRules(
        own_uid=OVERFLOW_UID, users=frozenset({OVERFLOW_UID}), deliver_users=frozenset({OVERFLOW_UID})
    )
    assert not admission.may_connect(caller(OVERFLOW_UID))


def test_named_deliverers_take_the_right_from_workers_and_get_no_credentials() -> None:
    admission = AccessRules(own_uid=OWN, users=frozenset({WORKER}), deliver_users=frozenset({DELIVERER}))
    assert admission.may_deliver(caller(DELIVERER))
    assert not admission.may_ask(caller(DELIVERER))
    assert not admission.may_deliver(caller(WORKER))
    assert admission.may_deliver(caller(0))


def test_a_name_that_this_machine_does_not_know_is_information() -> None:
    admission, missing = AccessRules.resolve(
        users=["root", "1234", "no-such-user"], groups=["root", "no-such-group"], own_uid=OWN
    )
    assert missing == ("no-such-user", "no-such-group")
    assert admission == AccessRules(own_uid=OWN, users=frozenset({0, 1234}), groups=frozenset({0}))


def test_deliverers_who_do_not_exist_here_do_not_open_delivery_to_everybody() -> None:
    admission, missing = AccessRules.resolve(users=["1000"], groups=[], deliver_users=["no-such-user"], own_uid=OWN)
    assert missing == ("no-such-user",)
    assert not admission.may_deliver(caller(1000))


def test_the_kernel_names_this_process() -> None:
    here, there = socket.socketpair()
    with here, there:
        found = caller_of(here)
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert found.groups == frozenset(os.getgroups())


@as_root
def test_supplementary_groups_of_another_user_are_seen() -> None:
    folder = tempfile.mkdtemp(prefix="ca-", dir="/tmp")
    os.chmod(folder, 0o755)  # noqa: S103  the other user has to reach it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        os.chmod(f"{folder}/s", 0o666)  # noqa: S103  as the agent's own
        listener.listen()
        child = os.fork()
        if child == 0:
            _connect_as(STRANGER, 3000, [DASK_GROUP, 7], f"{folder}/s")
        connection, _ = listener.accept()
        with connection:
            found = caller_of(connection)
        assert os.waitpid(child, 0)[1] == 0
    shutil.rmtree(folder)
    assert (found.pid, found.uid, found.gid) == (child, STRANGER, 3000)
    assert found.groups == {DASK_GROUP, 7}
    assert ADMISSION.may_ask(found)


def _connect_as(uid: int, gid: int, groups: list[int], path: str) -> NoReturn:
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.recv(1)
    os._exit(0)
