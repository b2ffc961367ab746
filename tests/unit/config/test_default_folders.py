"""Where things lie on a machine that names no folders, and where a client looks for the agent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.config import AgentSection, Config, Folders, agent_sockets, default_folders
from credagent.config.default_folders import BINDING_FILE, may_write, runtime_folders
from credagent.worker import credagent_worker
from tests.other_user import SOMEBODY, as_root

UID = 61_000  # who has no agent on the machine that runs the tests
BELOW_TMP = f"/tmp/credagent-{UID}"


def only(*writable: str) -> Callable[[str], bool]:
    return lambda path: path in writable


def nameless() -> str:
    """Stand for a machine without a machine-id."""
    return ""


def test_root_has_the_folders_of_the_system() -> None:
    assert default_folders({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, only(), nameless) == Folders(
        "/run/credagent", "/var/lib/credagent"
    )


def test_a_user_who_may_write_the_folders_of_the_system_has_them() -> None:
    writable = only("/run/credagent", "/var/lib/credagent")
    assert default_folders({}, UID, writable, nameless) == Folders("/run/credagent", "/var/lib/credagent")


@pytest.mark.parametrize(
    ("environ", "writable", "expected"),
    [
        (
            {"XDG_RUNTIME_DIR": "/run/user/61000", "XDG_STATE_HOME": "/home/a/state"},
            ("/run/user/61000/credagent",),
            Folders("/run/user/61000/credagent", "/home/a/state/credagent"),
        ),
        ({"HOME": "/home/a"}, ("/home/a", BELOW_TMP), Folders(BELOW_TMP, "/home/a/.local/state/credagent")),
        # `su` keeps the variable of the user before.
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, (BELOW_TMP,), Folders(BELOW_TMP, f"{BELOW_TMP}/state")),
        # A job of Slurm has the variable of a login on another machine.
        ({"XDG_RUNTIME_DIR": "/run/user/nobody-logged-in"}, (), Folders(BELOW_TMP, f"{BELOW_TMP}/state")),
        # The specification: relative paths are ignored.
        (
            {"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state", "HOME": "home"},
            ("run/credagent", "state", "home"),
            Folders(BELOW_TMP, f"{BELOW_TMP}/state"),
        ),
        # A container's arbitrary user.
        ({"HOME": "/"}, (), Folders(BELOW_TMP, f"{BELOW_TMP}/state")),
    ],
)
def test_an_ordinary_user_has_folders_of_his_own(
    environ: dict[str, str], writable: tuple[str, ...], expected: Folders
) -> None:
    assert default_folders(environ, UID, only(*writable), nameless) == expected


def test_machines_that_share_a_home_have_a_state_folder_each(tmp_path: Path) -> None:
    environ, base = {"XDG_STATE_HOME": str(tmp_path)}, f"{tmp_path}/credagent"
    one, other = ("1" * 64, "2" * 64)
    states = [default_folders(environ, UID, only(), lambda: machine).state_dir for machine in (one, other)]  # noqa: B023  called at once
    assert states == [f"{base}/1111111111111111", f"{base}/2222222222222222"]


def test_a_key_of_an_earlier_release_stays_with_the_machine_it_was_made_for(tmp_path: Path) -> None:
    (tmp_path / "credagent").mkdir()
    (tmp_path / "credagent" / BINDING_FILE).write_text("1" * 64 + "\n")
    environ, base = {"XDG_STATE_HOME": str(tmp_path)}, f"{tmp_path}/credagent"
    states = [default_folders(environ, UID, only(), lambda: digit * 64).state_dir for digit in "12"]  # noqa: B023  called at once
    assert states == [base, f"{base}/2222222222222222"]


def test_what_can_be_made_can_be_written(tmp_path: Path) -> None:
    assert may_write(str(tmp_path))
    assert may_write(str(tmp_path / "new"))
    assert not may_write(str(tmp_path / "absent" / "new"))


def test_the_socket_that_is_named_is_the_only_one() -> None:
    assert agent_sockets(Config(), {"CREDAGENT_SOCKET": "/x.sock"}, UID) == ("/x.sock",)


def test_a_configured_folder_is_the_only_one() -> None:
    config = Config(agent=AgentSection(runtime_dir="/r"), origins={"agent.runtime_dir": "file"})
    assert agent_sockets(config, {}, UID) == ("/r/agent.sock",)
    assert agent_sockets(Config(), {}, 0) == ("/run/credagent/agent.sock",)


def test_an_ordinary_user_asks_his_own_agent_and_then_the_machines(tmp_path: Path) -> None:
    expected = (f"{tmp_path}/credagent/agent.sock", f"{BELOW_TMP}/agent.sock", "/run/credagent/agent.sock")
    assert agent_sockets(Config(), {"XDG_RUNTIME_DIR": str(tmp_path)}, UID) == expected


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "/run/user/61000"}])
def test_a_user_without_a_login_session_finds_the_agent_where_it_listens(environ: dict[str, str]) -> None:
    agents = default_folders(environ, UID, only(BELOW_TMP), nameless).runtime_dir
    assert agents == BELOW_TMP
    assert agents in runtime_folders(environ, UID)
    assert agents in credagent_worker.runtime_folders(environ, UID)


@pytest.mark.parametrize("uid", [0, UID])
def test_the_workers_side_looks_where_the_agent_does(uid: int) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/61000"}
    assert runtime_folders(environ, uid) == credagent_worker.runtime_folders(environ, uid)


@as_root
def test_a_folder_that_somebody_else_made_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "credagent").mkdir()
    for owner, mode, asked in ((SOMEBODY, 0o755, False), (UID, 0o777, False), (UID, 0o751, True)):
        os.chown(tmp_path / "credagent", owner, owner)
        (tmp_path / "credagent").chmod(mode)
        found = runtime_folders({"XDG_RUNTIME_DIR": str(tmp_path)}, UID)
        assert (f"{tmp_path}/credagent" in found) is asked


@as_root
def test_a_name_below_tmp_that_a_stranger_has_taken_is_not_needed() -> None:
    uid = UID + 2  # another than in the tests that run beside this one
    first = f"/tmp/credagent-{uid}"
    taken = [Path(first), Path(f"{first}-2")]
    try:
        for folder in taken:
            folder.mkdir()
            os.chown(folder, SOMEBODY, SOMEBODY)
        assert runtime_folders({}, uid) == [f"{first}-3", "/run/credagent"]
        os.chown(taken[1], uid, uid)
        assert runtime_folders({}, uid) == [f"{first}-2", "/run/credagent"]
        taken[0].rmdir()  # he gives the name back: the agent that runs is still found
        assert runtime_folders({}, uid) == [f"{first}-2", "/run/credagent"]
    finally:
        for folder in taken:
            if folder.exists():
                folder.rmdir()
