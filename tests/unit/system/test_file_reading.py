"""Files: what is read is bounded and nobody else's; what is written is private, whole or not at all."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.errors import ConfigurationError, CredagentError, Exit, PermissionRefused, Refused
from credagent.system.file_reading import read_bounded, read_private, read_trusted
from tests.other_user import SOMEBODY, as_root, run_as_somebody

LIMIT = 1_000


def written(path: Path, data: bytes = b"content", mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


READERS: list[Callable[[str, int], bytes | None]] = [read_private, read_trusted, read_bounded]


@pytest.mark.parametrize("read", READERS)
def test_a_private_file_is_read_whole(read: Callable[[str, int], bytes | None], tmp_path: Path) -> None:
    assert read(written(tmp_path / "f", b"x" * LIMIT), LIMIT) == b"x" * LIMIT


@pytest.mark.parametrize("read", READERS)
def test_a_link_to_a_regular_file_is_followed(read: Callable[[str, int], bytes | None], tmp_path: Path) -> None:
    written(tmp_path / "..data")
    (tmp_path / "f").symlink_to("..data")
    assert read(str(tmp_path / "f"), LIMIT) == b"content"


@pytest.mark.parametrize("read", READERS)
def test_one_byte_too_many_is_refused(read: Callable[[str, int], bytes | None], tmp_path: Path) -> None:
    with pytest.raises(CredagentError) as caught:
        read(written(tmp_path / "f", b"x" * (LIMIT + 1)), LIMIT)
    assert caught.value.exit_code == (Exit.REFUSED if read is read_bounded else Exit.CONFIGURATION)


def make_fifo(path: str) -> None:
    os.mkfifo(path, 0o600)


def make_folder(path: str) -> None:
    os.mkdir(path, 0o700)


def make_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def make_link_to_device(path: str) -> None:
    os.symlink("/dev/zero", path)


def make_link_to_full_device(path: str) -> None:
    os.symlink("/dev/full", path)


def make_circle(path: str) -> None:
    os.symlink(path, path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "make", [make_fifo, make_folder, make_socket, make_link_to_device, make_link_to_full_device, make_circle]
)
def test_what_is_not_a_regular_file_is_refused_without_waiting(
    make: Callable[[str], None], read: Callable[[str, int], bytes | None], tmp_path: Path
) -> None:
    path = str(tmp_path / "f")
    make(path)
    with pytest.raises(Refused if read is read_bounded else ConfigurationError) as caught:
        read(path, LIMIT)
    assert caught.value.hint


def test_a_missing_key_or_configuration_is_a_configuration_error(tmp_path: Path) -> None:
    for read in (read_private, read_trusted):
        with pytest.raises(ConfigurationError) as caught:
            read(str(tmp_path / "absent"), LIMIT)
        assert caught.value.code == "file-missing"


def test_a_missing_bundle_is_none_even_below_a_file(tmp_path: Path) -> None:
    assert read_bounded(str(tmp_path / "absent"), LIMIT) is None
    assert read_bounded(written(tmp_path / "f") + "/bundle", LIMIT) is None


def test_an_empty_bundle_is_returned_for_the_caller_to_refuse(tmp_path: Path) -> None:
    assert read_bounded(written(tmp_path / "f", b""), LIMIT) == b""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_key_that_others_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(PermissionRefused, match=f"{mode:04o}"):
        read_private(written(tmp_path / "f", mode=mode), LIMIT)


def test_a_systemd_credential_may_show_its_access_list_as_group_bits(tmp_path: Path) -> None:
    assert read_private(written(tmp_path / "f", mode=0o440), LIMIT, group_may_read=True) == b"content"
    with pytest.raises(PermissionRefused):
        read_private(written(tmp_path / "g", mode=0o444), LIMIT, group_may_read=True)


@as_root
def test_a_secret_of_kubernetes_may_be_read_by_a_group_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: [7])
    path = written(tmp_path / "f", mode=0o440)
    os.chown(path, 0, 7)
    assert read_private(path, LIMIT) == b"content"


@as_root
@pytest.mark.parametrize(("group", "mode"), [(8, 0o440), (0, 0o440), (7, 0o444), (7, 0o460)])
def test_a_secret_of_kubernetes_that_others_may_touch_is_refused(
    group: int, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: [7])
    path = written(tmp_path / "f", mode=mode)
    os.chown(path, 0, group)
    with pytest.raises(PermissionRefused) as caught:
        read_private(path, LIMIT)
    assert caught.value.code == "file-mode"


@as_root
def test_a_file_that_its_owners_group_may_read_is_private_only_if_it_is_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: [7])
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    path = written(tmp_path / "f", mode=0o440)
    os.chown(path, 4321, 7)
    with pytest.raises(PermissionRefused):
        read_private(path, LIMIT)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_configuration_that_others_may_write_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(PermissionRefused) as caught:
        read_trusted(written(tmp_path / "f", mode=mode), LIMIT)
    assert "chmod go-w" in caught.value.hint


def test_a_configuration_that_others_may_read_is_accepted(tmp_path: Path) -> None:
    assert read_trusted(written(tmp_path / "f", mode=0o644), LIMIT) == b"content"


@as_root
def test_a_file_of_another_user_is_neither_a_key_nor_trusted(tmp_path: Path) -> None:
    path = written(tmp_path / "f")
    os.chown(path, SOMEBODY, SOMEBODY)
    for read in (read_private, read_trusted):
        with pytest.raises(PermissionRefused, match=str(SOMEBODY)):
            read(path, LIMIT)
    assert read_bounded(path, LIMIT) == b"content"


@as_root
def test_an_ordinary_user_is_told_that_a_file_is_closed_to_him() -> None:
    path = f"/tmp/credagent-test-{os.getpid()}"
    written(Path(path))
    try:
        result = run_as_somebody(
            "from credagent.system.file_reading import read_bounded", f"read_bounded({path!r}, 10)"
        )
    finally:
        os.unlink(path)
    assert "PermissionRefused" in result.stderr
    assert "permission denied" in result.stderr
