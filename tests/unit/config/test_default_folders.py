"""Where things lie on a machine that names no folders, and where a client looks for the agent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.config import AgentSection, Config, Folders, agent_sockets, default_folders
from credagent.config.default_folders import may_write

SOMEBODY = 65_533


def only(*writable: str) -> Callable[[str], bool]:
    return lambda path: path in writable


def test_root_has_the_folders_of_the_system() -> None:
    assert default_folders({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, only()) == Folders(
        "/run/credagent", "/var/lib/credagent"
    )


def test_a_user_who_may_write_the_folders_of_the_system_has_them() -> None:
    writable = only("/run/credagent", "/var/lib/credagent")
    assert default_folders({}, 1000, writable) == Folders("/run/credagent", "/var/lib/credagent")


@pytest.mark.parametrize(
    ("environ", "writable", "expected"),
    [
        (
            {"XDG_RUNTIME_DIR": "/run/user/1000", "XDG_STATE_HOME": "/home/a/state"},
            ("/run/user/1000",),
            Folders("/run/user/1000/credagent", "/home/a/state/credagent"),
        ),
        ({"HOME": "/home/a"}, ("/home/a",), Folders("/tmp/credagent-1000", "/home/a/.local/state/credagent")),
        # `su` keeps the variable of the user before.
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, (), Folders("/tmp/credagent-1000", "/tmp/credagent-1000/state")),
        # The specification: relative paths are ignored.
        (
            {"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state", "HOME": "home"},
            ("run", "state", "home"),
            Folders("/tmp/credagent-1000", "/tmp/credagent-1000/state"),
        ),
        # A container's arbitrary user.
        ({"HOME": "/"}, (), Folders("/tmp/credagent-1000", "/tmp/credagent-1000/state")),
    ],
)
def test_an_ordinary_user_has_folders_of_his_own(
    environ: dict[str, str], writable: tuple[str, ...], expected: Folders
) -> None:
    assert default_folders(environ, 1000, only(*writable)) == expected


def test_what_can_be_made_can_be_written(tmp_path: Path) -> None:
    assert may_write(str(tmp_path))
    assert may_write(str(tmp_path / "new"))
    assert not may_write(str(tmp_path / "absent" / "new"))


def test_the_socket_that_is_named_is_the_only_one() -> None:
    assert agent_sockets(Config(), {"CREDAGENT_SOCKET": "/x.sock"}, 1000) == ("/x.sock",)


def test_a_configured_folder_is_the_only_one() -> None:
    config = Config(agent=AgentSection(runtime_dir="/r"), origins={"agent.runtime_dir": "file"})
    assert agent_sockets(config, {}, 1000) == ("/r/agent.sock",)
    assert agent_sockets(Config(), {}, 0) == ("/run/credagent/agent.sock",)


def test_an_ordinary_user_asks_his_own_agent_and_then_the_machines(tmp_path: Path) -> None:
    config = Config(agent=AgentSection(runtime_dir=str(tmp_path)))
    expected = (f"{tmp_path}/agent.sock", "/run/credagent/agent.sock")
    assert agent_sockets(config, {}, os.geteuid()) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder to another user")
def test_a_folder_that_somebody_else_made_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    os.chown(tmp_path / "planted", SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to("/")
    for name in ("planted", "link", "absent"):
        config = Config(agent=AgentSection(runtime_dir=str(tmp_path / name)))
        assert agent_sockets(config, {}, 1000) == ("/run/credagent/agent.sock",)
