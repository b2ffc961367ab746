"""What is kept survives as a whole, is private, and is never taken for absent where it is damaged."""

import stat
from pathlib import Path

import pytest

from credagent.channels import archive
from credagent.channels.archive import Kept
from credagent.credentials import Slot
from credagent.errors import ConfigurationError, OutputError
from credagent.rules.admission import Mark

KEPT = Kept(
    bundle="credagent-bundle:1:AA",
    channel="file",
    earlier={Slot.AWS: "credagent-bundle:1:BB"},
    marks={"a" * 32: Mark(7, "d" * 64)},
)


def test_nothing_was_kept_where_there_is_nothing(tmp_path: Path) -> None:
    assert archive.load(str(tmp_path)) == Kept()


def test_what_was_kept_comes_back_and_is_nobody_elses(tmp_path: Path) -> None:
    archive.save(str(tmp_path), KEPT)
    assert archive.load(str(tmp_path)) == KEPT
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"version":"1"}', b'{"surprise":1}', b'{"earlier":{"azure":"x"}}', b'{"marks":{"a":[1]}}'],
)
def test_damage_is_not_absence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / archive.FILE_NAME).write_bytes(damage)
    with pytest.raises(ConfigurationError) as raised:
        archive.load(str(tmp_path))
    assert raised.value.code == "state-damaged"
    assert "replayed" in raised.value.hint


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        archive.save(str(tmp_path / "gone"), KEPT)


def test_an_archive_that_does_not_write_reads_and_forgets(tmp_path: Path) -> None:
    archive.save(str(tmp_path), KEPT)
    load, save = archive.archived_in(str(tmp_path), writes=False)
    save(Kept())
    assert load() == KEPT
    load, save = archive.archived_in(str(tmp_path), writes=True)
    save(Kept())
    assert load() == Kept()
