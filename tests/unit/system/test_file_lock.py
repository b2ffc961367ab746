import os
from pathlib import Path

import pytest

from credagent.errors import OutputError
from credagent.system import file_lock


def test_a_lock_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = file_lock.lock(path)
    assert first is not None
    assert file_lock.lock(path) is None
    first.release()
    first.release()
    with file_lock.lock(path) or pytest.fail("it was released") as second:
        assert second is not None
        assert file_lock.lock(path) is None


def test_a_lock_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        file_lock.lock(str(tmp_path / "absent" / "lock"))
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(OutputError):
        file_lock.lock(str(tmp_path / "link"))


def test_a_lock_is_nobody_elses_to_hold(tmp_path: Path) -> None:
    """Whoever may open a file may lock it: a worker's user would hold the agent down."""
    before = os.umask(0)
    try:
        assert file_lock.lock(str(tmp_path / "lock")) is not None
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
