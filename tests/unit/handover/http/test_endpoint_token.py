"""The endpoint's token: private, without a newline, the same until the folder is new, readable by workers."""

import os
import stat
from pathlib import Path

import pytest

from credagent.handover.http.endpoint_token import load_or_make, token_path

NOBODY: frozenset[int] = frozenset()


def make(folder: Path) -> str:
    return load_or_make(str(folder), users=NOBODY, groups=NOBODY).reveal()


def test_a_token_survives_the_agents_restart(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert make(tmp_path) == first
    assert Path(token_path(str(tmp_path))).read_bytes() == first.encode()


def test_a_token_is_private_and_long_enough(tmp_path: Path) -> None:
    token = make(tmp_path)
    assert len(token) == 43
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize("planted", [b"", b"short", b"a" * 43 + b"\n", b"a" * 44, b"/" * 43])
def test_what_does_not_look_like_a_token_is_replaced(tmp_path: Path, planted: bytes) -> None:
    (tmp_path / "token").write_bytes(planted)
    (tmp_path / "token").chmod(0o600)
    assert make(tmp_path).encode() != planted
    assert len(make(tmp_path)) == 43


def test_a_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a" * 43)
    (tmp_path / "token").chmod(0o644)
    assert make(tmp_path) != "a" * 43


def test_a_token_that_others_could_have_put_there_is_replaced(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's file")
    (tmp_path / "token").write_bytes(b"a" * 43)
    (tmp_path / "token").chmod(0o600)
    os.chown(tmp_path / "token", 65533, 65533)
    assert make(tmp_path) != "a" * 43


def test_workers_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    load_or_make(str(tmp_path), users=frozenset({12345}), groups=frozenset({23456}))
    try:
        raw = os.getxattr(tmp_path / "token", "system.posix_acl_access")
    except OSError:
        pytest.skip("no access control lists on this file system")
    assert (12345).to_bytes(4, "little") in raw
    assert (23456).to_bytes(4, "little") in raw
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) & 0o027 == 0
