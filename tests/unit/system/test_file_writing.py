"""Writing: private from the first byte, whole or not at all, and one clear error where it cannot be."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.errors import Exit, OutputError
from credagent.system.file_writing import create_new_private, remove_leftovers, remove_own_file, write_private
from tests.other_user import SOMEBODY, as_root, run_as_somebody
from tests.patience import scaled


def written(path: Path, data: bytes = b"content", mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


@as_root
def test_an_ordinary_user_who_may_not_write_gets_an_output_error(tmp_path: Path) -> None:
    result = run_as_somebody(
        "from credagent.system.file_writing import write_private", "write_private('/etc/credagent-test', b'x')"
    )
    assert "OutputError: /etc/credagent-test: permission denied" in result.stderr
    assert not os.path.exists("/etc/credagent-test")


def test_a_file_is_written_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(str(tmp_path / "f"), b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_the_mode_asked_for_is_the_mode_given(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_private(str(tmp_path / "f"), b"one", 0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


def test_replacing_leaves_the_new_content_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"earlier", 0o666)
    write_private(path, b"later")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"later"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


@pytest.mark.parametrize(("of_this_boot", "synced"), [(False, 2), (True, 0)])
def test_the_disk_is_waited_for_where_a_file_outlives_the_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, of_this_boot: bool, synced: int
) -> None:
    """The file itself, and its name in the folder."""
    asked: list[int] = []
    monkeypatch.setattr("os.fsync", asked.append)
    write_private(str(tmp_path / "f"), b"content", of_this_boot=of_this_boot)
    assert (tmp_path / "f").read_bytes() == b"content"
    assert len(asked) == synced


def test_a_link_in_the_way_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = written(tmp_path / "target", b"mine")
    (tmp_path / "f").symlink_to(target)
    write_private(str(tmp_path / "f"), b"secret")
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert not (tmp_path / "f").is_symlink()


def test_a_full_disk_is_one_clear_error_and_the_earlier_content_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "f", b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError) as caught:
            write_private(path, b"x" * 10_000)
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
        write_private(str(small / "f"), b"earlier")
        with pytest.raises(OutputError, match="no space left") as caught:
            write_private(str(small / "f"), b"x" * 100_000)
        assert "free some space" in caught.value.hint
        assert (small / "f").read_bytes() == b"earlier"
        assert [entry.name for entry in small.iterdir()] == ["f"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("write", [write_private, create_new_private])
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
        write_private(str(tmp_path / "f"), b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_new_file_never_overwrites(tmp_path: Path) -> None:
    path = str(tmp_path / "f")
    create_new_private(path, b"first")
    with pytest.raises(OutputError) as caught:
        create_new_private(path, b"second")
    assert caught.value.code == "exists"
    assert (tmp_path / "f").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").stat().st_nlink == 1


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    left = [".worker.env.0123456789ab.tmp", ".in-force.json.ba9876543210.tmp"]
    others = ["worker.env", ".worker.env.swp", ".worker.env.0123456789xy.tmp", ".tmp", "a.0123456789ab.tmp"]
    for name in [*left, *others]:
        (tmp_path / name).write_bytes(b"credentials")
    (tmp_path / ".folder.0123456789ab.tmp").mkdir()
    remove_leftovers(str(tmp_path), "worker.env")
    assert not (tmp_path / left[0]).exists()
    assert (tmp_path / left[1]).exists()
    remove_leftovers(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, ".folder.0123456789ab.tmp"])
    remove_leftovers(str(tmp_path / "absent"))


def test_a_writer_that_is_killed_leaves_what_is_swept(tmp_path: Path) -> None:
    script = "import os, signal; from credagent.system.file_writing import write_private\n"
    script += "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += f"write_private({str(tmp_path / 'worker.env')!r}, b'credentials')"
    subprocess.run([sys.executable, "-c", script], timeout=scaled(30), check=False)
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(str(tmp_path), "worker.env")
    assert list(tmp_path.iterdir()) == []


def test_the_next_writer_of_a_file_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    for name in (".f.0123456789ab.tmp", ".f.pub.0123456789ab.tmp"):
        (tmp_path / name).write_bytes(b"a private key")
    create_new_private(str(tmp_path / "f"), b"one")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".f.pub.0123456789ab.tmp", "f"]
    (tmp_path / ".f.0123456789ab.tmp").write_bytes(b"credentials")
    write_private(str(tmp_path / "f"), b"two")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".f.pub.0123456789ab.tmp", "f"]


def test_what_a_living_writer_is_at_work_on_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def while_another_sweeps(source: str, target: str) -> None:
        script = f"from credagent.system.file_writing import remove_leftovers; remove_leftovers({str(tmp_path)!r})"
        subprocess.run([sys.executable, "-c", script], check=True)
        rename(source, target)

    monkeypatch.setattr(os, "rename", while_another_sweeps)
    write_private(str(tmp_path / "f"), b"one")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"one")]


@as_root
def test_only_files_of_this_user_are_discarded(tmp_path: Path) -> None:
    path = written(tmp_path / "file")
    os.chown(path, SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to(path)
    for name in ("file", "link", "absent"):
        remove_own_file(str(tmp_path / name))
    assert {one.name for one in tmp_path.iterdir()} == {"file", "link"}
    os.chown(path, 0, 0)
    remove_own_file(path)
    assert {one.name for one in tmp_path.iterdir()} == {"link"}
