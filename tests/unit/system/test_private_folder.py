"""Private folders: made with exactly their mode, and refused where somebody else could change what lies in them."""

import os
import stat
from pathlib import Path

import pytest

from credagent.errors import Exit, PermissionRefused
from credagent.system.private_folder import make_private_folder
from tests.other_user import SOMEBODY, as_root


def test_a_private_folder_is_made_with_its_parents_and_exact_mode(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_private_folder(str(tmp_path / "a" / "b") + "/", 0o751)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o751
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o751


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    make_private_folder(str(tmp_path / "a"), 0o700)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777, 0o702])
def test_a_folder_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)
    with pytest.raises(PermissionRefused) as caught:
        make_private_folder(str(tmp_path / "a"))
    assert caught.value.exit_code == Exit.PERMISSION


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_that_is_a_link_is_refused(slash: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "a").symlink_to("real")
    with pytest.raises(PermissionRefused, match="link"):
        make_private_folder(str(tmp_path / "a") + slash)


def test_a_link_that_leads_nowhere_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(PermissionRefused, match="link"):
        make_private_folder(str(tmp_path / "a"))
    with pytest.raises(PermissionRefused, match="link"):
        make_private_folder(str(tmp_path / "a" / "b"))


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(PermissionRefused):
        make_private_folder(str(tmp_path / "a"))


@as_root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    os.chown(tmp_path / "a", SOMEBODY, SOMEBODY)
    with pytest.raises(PermissionRefused, match=str(SOMEBODY)):
        make_private_folder(str(tmp_path / "a"))
