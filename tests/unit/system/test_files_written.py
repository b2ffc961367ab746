"""Writing: private from the first byte, whole or not at all, and one clear error where it cannot be."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.errors import Exit, OutputError, PermissionRefused
from credagent.system import files

SOMEBODY = 65_533  # a user that owns nothing else

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to give files to another user")


def written(path: Path, data: bytes = b"content", mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def as_somebody(script: str) -> subprocess.CompletedProcess[str]:
    """Run `script` as an ordinary user. Modules are imported before the change: the checkout may be root's alone."""
    lines = (
        f"import os\nfrom credagent import files\nos.setgroups([])\nos.setegid({SOMEBODY})\nos.seteuid({SOMEBODY})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", lines + script], capture_output=True, text=True, timeout=30, check=False
    )


@as_root
def test_an_ordinary_user_who_may_not_write_gets_an_output_error(tmp_path: Path) -> None:
    result = as_somebody("files.write_private('/etc/credagent-test', b'x')")
    assert "OutputError: /etc/credagent-test: permission denied" in result.stderr
    assert not os.path.exists("/etc/credagent-test")


def test_a_file_is_written_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.write_private(str(tmp_path / "f"), b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_device_a_fifo_and_a_link_to_one_are_never_replaced(tmp_path: Path) -> None:
    """Renaming over /dev/null as root takes it away from every program of the machine."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/null")  # a stand-in: the test may run as root, on a machine that is in use
    for name in ("fifo", "device"):
        before = os.lstat(tmp_path / name)
        with pytest.raises(OutputError, match="not a regular file") as caught:
            files.write_private(str(tmp_path / name), b"one")
        assert caught.value.exit_code == Exit.OUTPUT
        assert os.lstat(tmp_path / name).st_ino == before.st_ino
    assert sorted(os.listdir(tmp_path)) == ["device", "fifo"]


@as_root
def test_a_device_itself_is_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this root may not make devices")
    with pytest.raises(OutputError, match="not a regular file"):
        files.write_private(str(device), b"one")
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_a_link_to_a_file_or_to_nothing_gives_way_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for name, target in (("link", "file"), ("dangling", "nothing")):
        (tmp_path / name).symlink_to(target)
        files.write_private(str(tmp_path / name), b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "file").read_bytes() == b"old"


def test_the_mode_asked_for_is_the_mode_given(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_private(str(tmp_path / "f"), b"one", 0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


def test_replacing_leaves_the_new_content_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"earlier", 0o666)
    files.write_private(path, b"later")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"later"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_link_in_the_way_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = written(tmp_path / "target", b"mine")
    (tmp_path / "f").symlink_to(target)
    files.write_private(str(tmp_path / "f"), b"secret")
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert not (tmp_path / "f").is_symlink()


def test_a_full_disk_is_one_clear_error_and_the_earlier_content_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError) as caught:
            files.write_private(path, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == Exit.OUTPUT
    assert (tmp_path / "f").read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


@as_root
def test_no_space_left_says_so(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount here")
    try:
        files.write_private(str(small / "f"), b"earlier")
        with pytest.raises(OutputError, match="no space left") as caught:
            files.write_private(str(small / "f"), b"x" * 100_000)
        assert "free some space" in caught.value.hint
        assert (small / "f").read_bytes() == b"earlier"
        assert [entry.name for entry in small.iterdir()] == ["f"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("write", [files.write_private, files.create_new_private])
def test_a_missing_folder_and_a_file_for_a_folder_are_output_errors(
    write: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    for path in (str(tmp_path / "absent" / "f"), written(tmp_path / "file") + "/f"):
        with pytest.raises(OutputError) as caught:
            write(path, b"x")
        assert caught.value.hint


def test_a_folder_in_the_way_is_an_output_error_and_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(OutputError):
        files.write_private(str(tmp_path / "f"), b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_new_file_never_overwrites(tmp_path: Path) -> None:
    path = str(tmp_path / "f")
    files.create_new_private(path, b"first")
    with pytest.raises(OutputError) as caught:
        files.create_new_private(path, b"second")
    assert caught.value.code == "exists"
    assert (tmp_path / "f").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").stat().st_nlink == 1


def test_a_private_folder_is_made_with_its_parents_and_exact_mode(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.private_folder(str(tmp_path / "a" / "b") + "/", 0o751)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o751
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o751


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    files.private_folder(str(tmp_path / "a"), 0o700)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777, 0o702])
def test_a_folder_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)
    with pytest.raises(PermissionRefused) as caught:
        files.private_folder(str(tmp_path / "a"))
    assert caught.value.exit_code == Exit.PERMISSION


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_that_is_a_link_is_refused(slash: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "a").symlink_to("real")
    with pytest.raises(PermissionRefused, match="link"):
        files.private_folder(str(tmp_path / "a") + slash)


def test_a_link_that_leads_nowhere_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(PermissionRefused, match="link"):
        files.private_folder(str(tmp_path / "a"))
    with pytest.raises(PermissionRefused, match="link"):
        files.private_folder(str(tmp_path / "a" / "b"))


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermissionRefused):
        files.private_folder(written(tmp_path / "a"))


@as_root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    os.chown(tmp_path / "a", SOMEBODY, SOMEBODY)
    with pytest.raises(PermissionRefused, match=str(SOMEBODY)):
        files.private_folder(str(tmp_path / "a"))


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    left = [".worker.env.0123456789ab.tmp", ".in-force.json.ba9876543210.tmp"]
    others = ["worker.env", ".worker.env.swp", ".worker.env.0123456789xy.tmp", ".tmp", "a.0123456789ab.tmp"]
    for name in [*left, *others]:
        (tmp_path / name).write_bytes(b"credentials")
    (tmp_path / ".folder.0123456789ab.tmp").mkdir()
    files.sweep(str(tmp_path), "worker.env")
    assert not (tmp_path / left[0]).exists()
    assert (tmp_path / left[1]).exists()
    files.sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, ".folder.0123456789ab.tmp"])
    files.sweep(str(tmp_path / "absent"))


def test_a_writer_that_is_killed_leaves_what_is_swept(tmp_path: Path) -> None:
    script = "import os, signal; from credagent import files\n"
    script += "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += f"files.write_private({str(tmp_path / 'worker.env')!r}, b'credentials')"
    subprocess.run([sys.executable, "-c", script], timeout=30, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    files.sweep(str(tmp_path), "worker.env")
    assert list(tmp_path.iterdir()) == []


@as_root
def test_only_files_of_this_user_are_discarded(tmp_path: Path) -> None:
    path = written(tmp_path / "file")
    os.chown(path, SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to(path)
    for name in ("file", "link", "absent"):
        files.discard(str(tmp_path / name))
    assert {one.name for one in tmp_path.iterdir()} == {"file", "link"}
    os.chown(path, 0, 0)
    files.discard(path)
    assert {one.name for one in tmp_path.iterdir()} == {"link"}
