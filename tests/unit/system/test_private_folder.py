"""Private folders: made with exactly their mode, and refused where somebody else could change what lies in them."""

import grp
import os
import pwd
import stat
from pathlib import Path

import pytest

from credagent.errors import Exit, PermissionRefused
from credagent.system.private_folder import judge_others_folder, make_private_folder
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


def test_a_folder_that_a_killed_agent_left_closed_is_opened_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    make_private_folder(str(tmp_path / "a"), 0o751)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o751


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


@as_root
@pytest.mark.parametrize("depth", [1, 2])
def test_a_folder_below_somebody_elses_is_refused(depth: int, tmp_path: Path) -> None:
    """He could rename a part of the path, and put a folder with an agent of his own in its place."""
    way = [tmp_path / "theirs", tmp_path / "theirs" / "mine", tmp_path / "theirs" / "mine" / "run"]
    for folder in way:
        folder.mkdir(mode=0o755)
    os.chown(way[0], SOMEBODY, SOMEBODY)
    with pytest.raises(PermissionRefused, match=f"theirs belongs to user {SOMEBODY}") as caught:
        make_private_folder(str(way[depth]))
    assert caught.value.code == "folder-owner"
    with pytest.raises(PermissionRefused):
        make_private_folder(str(way[depth] / "new"))


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, False), (0o757, True), (0o755, False)])
def test_a_way_that_others_can_write_is_accepted_where_it_is_sticky(mode: int, refused: bool, tmp_path: Path) -> None:  # noqa: FBT001  a row of a table
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    if refused:
        with pytest.raises(PermissionRefused, match="others can replace what lies in"):
            make_private_folder(str(tmp_path / "shared" / "mine"))
    else:
        make_private_folder(str(tmp_path / "shared" / "mine"))


@as_root
def test_a_group_of_several_may_not_write_on_the_way_and_a_users_own_group_may(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home").chmod(0o770)
    make_private_folder(str(tmp_path / "home" / "a"))
    os.chown(tmp_path / "home", 0, SOMEBODY)
    with pytest.raises(PermissionRefused):
        make_private_folder(str(tmp_path / "home" / "b"))


@as_root
@pytest.mark.parametrize(
    ("gid", "name", "members", "accounts", "private"),
    [
        (SOMEBODY, "ana", [], [], True),
        (SOMEBODY, "ana", ["ana"], [], True),
        (SOMEBODY + 1, "ana", [], [], True),  # RHEL counts users and groups apart
        (SOMEBODY, "ana", ["ben"], [], False),
        (SOMEBODY, "ana", [], ["ben"], False),
        (SOMEBODY + 1, "users", [], [], False),  # however empty it looks
    ],
)
def test_a_users_own_group_is_private_as_long_as_nobody_else_is_in_it(  # noqa: PLR0917  the columns of the table
    gid: int,
    name: str,
    members: list[str],
    accounts: list[str],
    private: bool,  # noqa: FBT001  a row of a table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def account(name: str, uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))

    ana = account("ana", SOMEBODY)
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((name, "x", gid, members)))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: ana)
    monkeypatch.setattr(pwd, "getpwall", lambda: [ana, *(account(one, 3_000) for one in accounts)])
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home").chmod(0o770)
    os.chown(tmp_path / "home", SOMEBODY, gid)
    if private:
        make_private_folder(str(tmp_path / "home" / "run"))
    else:
        with pytest.raises(PermissionRefused, match="others can replace what lies in"):
            make_private_folder(str(tmp_path / "home" / "run"))


@as_root
def test_a_link_on_the_way_is_followed_where_it_is_roots_or_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    make_private_folder(str(tmp_path / "link" / "run"))
    assert (tmp_path / "real" / "run").is_dir()
    os.chown(tmp_path / "link", SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(PermissionRefused, match="could put another folder in its place"):
        make_private_folder(str(tmp_path / "link" / "run"))


@as_root
def test_where_a_link_leads_over_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs" / "real").mkdir(parents=True, mode=0o755)
    os.chown(tmp_path / "theirs", SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to(tmp_path / "theirs" / "real")
    with pytest.raises(PermissionRefused):
        make_private_folder(str(tmp_path / "link" / "run"))


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PermissionRefused):
        make_private_folder(str(tmp_path / "a" / "run"))


@as_root
def test_the_agent_of_another_user_is_asked_in_a_folder_that_only_root_can_have_given_him(tmp_path: Path) -> None:
    (tmp_path / "run" / "credagent").mkdir(parents=True, mode=0o755)
    os.chown(tmp_path / "run" / "credagent", SOMEBODY, SOMEBODY)
    judge_others_folder(str(tmp_path / "run" / "credagent"))
    judge_others_folder(str(tmp_path / "run" / "absent"))
    (tmp_path / "run").chmod(0o1777)
    with pytest.raises(PermissionRefused):
        judge_others_folder(str(tmp_path / "run" / "credagent"))
