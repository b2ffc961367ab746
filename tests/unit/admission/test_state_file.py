"""What is kept survives as a whole, is private, and is never taken for absent where it is damaged."""

import stat
from pathlib import Path

import pytest

from credagent.admission import state_file
from credagent.admission.rules import ReplayMark
from credagent.admission.state_file import SavedState
from credagent.credentials import Slot
from credagent.errors import ConfigurationError, OutputError

KEPT = SavedState(
    bundle="credagent-bundle:1:AA",
    channel="file",
    earlier={Slot.AWS: "credagent-bundle:1:BB"},
    marks={"a" * 32: ReplayMark(7, "d" * 64)},
)


def test_nothing_was_kept_where_there_is_nothing(tmp_path: Path) -> None:
    assert state_file.load(str(tmp_path)) == SavedState()


def test_what_was_kept_comes_back_and_is_nobody_elses(tmp_path: Path) -> None:
    state_file.save(str(tmp_path), KEPT)
    assert state_file.load(str(tmp_path)) == KEPT
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"version":"1"}', b'{"surprise":1}', b'{"earlier":{"azure":"x"}}', b'{"marks":{"a":[1]}}'],
)
def test_damage_is_not_absence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / state_file.FILE_NAME).write_bytes(damage)
    with pytest.raises(ConfigurationError) as raised:
        state_file.load(str(tmp_path))
    assert raised.value.code == "state-damaged"
    assert "replayed" in raised.value.hint


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        state_file.save(str(tmp_path / "gone"), KEPT)


def test_an_archive_that_does_not_write_reads_and_forgets(tmp_path: Path) -> None:
    state_file.save(str(tmp_path), KEPT)
    load, save = state_file.load_and_save(str(tmp_path), writes=False)
    save(SavedState())
    assert load() == KEPT
    load, save = state_file.load_and_save(str(tmp_path), writes=True)
    save(SavedState())
    assert load() == SavedState()
