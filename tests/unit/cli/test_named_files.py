"""A command's output goes to a file, and never in place of what the whole machine needs."""

import os
import stat
from pathlib import Path

import pytest

from credagent.cli.named_files import write_output
from credagent.errors import Exit, OutputError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")


def test_a_device_a_fifo_and_a_link_to_one_are_never_replaced(tmp_path: Path) -> None:
    """Renaming over /dev/null as root takes it away from every program of the machine."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/null")  # a stand-in: the test may run as root, on a machine that is in use
    for name in ("fifo", "device"):
        before = os.lstat(tmp_path / name)
        with pytest.raises(OutputError, match="not a regular file") as caught:
            write_output(str(tmp_path / name), b"one")
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
        write_output(str(device), b"one")
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_a_link_to_a_file_or_to_nothing_gives_way_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for name, target in (("link", "file"), ("dangling", "nothing")):
        (tmp_path / name).symlink_to(target)
        write_output(str(tmp_path / name), b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "file").read_bytes() == b"old"
