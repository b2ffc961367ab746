"""worker.env: private, whole, and only what such a file can carry."""

import stat
from pathlib import Path

import pytest

from credagent import log
from credagent.secret import Secret
from credagent.worker_environment import env_file


def test_what_cannot_be_carried_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "worker.env"
    environment = {"A": Secret("plain"), "PEM": Secret("two\nlines"), "B": Secret("x=y")}
    assert env_file.write(str(path), environment) == ("PEM",)
    assert path.read_text() == "A=plain\nB=x=y\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [(event, fields["names"]) for _, event, fields in log._waiting] == [
        ("variables_left_out_of_env_file", ["PEM"])
    ]


def test_no_path_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert env_file.write("", {"A": Secret("plain")}) == ()
    assert list(tmp_path.iterdir()) == []
