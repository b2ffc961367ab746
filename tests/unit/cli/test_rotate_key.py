"""`credagent rotate-key` makes a key that the agent's own user can read, and needs one to begin with."""

import os
import stat
from pathlib import Path
from typing import NoReturn

import pytest

from credagent.admission import machine_key, recipient_keyring
from credagent.cli.main import main
from credagent.errors import Exit

OTHER = 65_533


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("CREDAGENT_AGENT_STATE_DIR", str(folder))
    monkeypatch.setenv("CREDAGENT_AGENT_RUNTIME_DIR", str(tmp_path / "run"))
    return folder


def test_it_prints_the_new_public_key_and_keeps_the_old_one(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = recipient_keyring.load(("state",), str(state), {}, _no_cloud)
    assert main(["rotate-key"]) == Exit.DONE
    printed = capsys.readouterr().out.strip()
    after = recipient_keyring.load(("state",), str(state), {}, _no_cloud)
    assert after.own is not None
    assert before.own is not None
    assert printed == after.own.public_key.line != before.own.public_key.line
    assert len(after.openers) == 2


def test_a_machine_without_a_key_is_told_who_makes_it(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate-key"]) == Exit.CONFIGURATION
    assert "hint: the agent makes one" in capsys.readouterr().err
    assert not list(state.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
@pytest.mark.parametrize(("uid", "reload"), [(0, "systemctl reload credagent"), (OTHER, "kill -HUP PID")])
def test_the_agents_user_can_read_the_key_whoever_made_it_and_knows_how_to_reload(
    state: Path, capfd: pytest.CaptureFixture[str], uid: int, reload: str
) -> None:
    recipient_keyring.load(("state",), str(state), {}, _no_cloud)
    for path in (state, *state.iterdir()):
        os.chown(path, OTHER, OTHER)
    child = os.fork()
    if child == 0:  # it gives root up, and cannot have it back
        for parent in state.parents:
            if parent != Path("/") and not parent.stat().st_mode & stat.S_IXOTH:
                parent.chmod(0o711)
        os.setresuid(uid, uid, uid)
        os._exit(main(["rotate-key"]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == Exit.DONE
    found = (state / machine_key.KEY_FILE).stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (OTHER, 0o600)
    assert f"reload the agent ({reload})" in capfd.readouterr().err


def _no_cloud(spec: str) -> NoReturn:
    raise AssertionError(spec)
