"""Which file is the configuration where none is named: the machine's, or an ordinary user's own in its place."""

import os
from pathlib import Path

import pytest

from credagent import configuration_file
from credagent.cli.main import main
from credagent.configuration_file import MACHINES_FILE, default_path
from tests.other_user import SOMEBODY


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own file, on a machine that has no agent of its own."""
    monkeypatch.setattr(configuration_file, "MACHINES_RUNTIME_DIR", str(tmp_path / "not-there"))
    path = tmp_path / "config" / "credagent" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[agent]\naudience = "mine"\n')
    return path


def test_an_ordinary_user_has_his_own_file_where_there_is_one(own: Path, tmp_path: Path) -> None:
    (tmp_path / ".config").symlink_to(tmp_path / "config")
    assert default_path({"XDG_CONFIG_HOME": str(tmp_path / "config")}, 1000) == str(own)
    assert default_path({"HOME": str(tmp_path)}, 1000) == f"{tmp_path}/.config/credagent/config.toml"
    own.unlink()
    assert default_path({"HOME": str(tmp_path)}, 1000) == MACHINES_FILE
    assert default_path({"HOME": "relative"}, 1000) == MACHINES_FILE


def test_root_and_the_user_of_the_machines_agent_have_the_machines_file(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task leaves in a home configures no agent of the machine."""
    environ = {"XDG_CONFIG_HOME": str(own.parents[1])}
    assert default_path(environ, 0) == MACHINES_FILE
    monkeypatch.setattr(configuration_file, "MACHINES_RUNTIME_DIR", str(tmp_path))
    assert default_path(environ, 1000) == MACHINES_FILE


def test_check_config_says_that_it_was_read_and_refuses_one_that_others_can_write(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parents[1]))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or SOMEBODY)
    assert main(["check-config"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {own}, then the environment")
    assert 'audience = "mine"' in shown
    own.chmod(0o666)
    assert main(["check-config"]) == 77
    assert str(own) in capsys.readouterr().err
