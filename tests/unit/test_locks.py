from pathlib import Path

import pytest

from credagent import locks
from credagent.errors import OutputError


def test_a_lock_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = locks.lock(path)
    assert first is not None
    assert locks.lock(path) is None
    first.release()
    first.release()
    with locks.lock(path) or pytest.fail("it was released") as second:
        assert second is not None
        assert locks.lock(path) is None


def test_a_lock_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        locks.lock(str(tmp_path / "absent" / "lock"))
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(OutputError):
        locks.lock(str(tmp_path / "link"))


def test_a_folder_is_locked_without_anything_in_it(tmp_path: Path) -> None:
    first = locks.lock_folder(str(tmp_path))
    assert first is not None
    assert locks.lock_folder(str(tmp_path)) is None
    first.release()
    assert locks.lock_folder(str(tmp_path)) is not None
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("absent", "link"):
        with pytest.raises(OutputError):
            locks.lock_folder(str(tmp_path / name))
