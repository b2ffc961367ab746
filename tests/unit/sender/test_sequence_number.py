"""The number that orders bundles never goes back, whatever the clock does."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credagent.errors import ConfigurationError, InternalError, OutputError, PermissionRefused
from credagent.sender import sequence_number

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)


@pytest.mark.parametrize(("now", "previous", "expected"), [(10, 0, 10), (10, 10, 11), (10, 50, 51)])
def test_it_is_the_clock_unless_the_clock_stands_still_or_goes_back(now: int, previous: int, expected: int) -> None:
    assert sequence_number.following(now, previous) == expected


@pytest.mark.parametrize("now", [0, -5, 1 << 53])
def test_a_clock_out_of_range_is_an_error(now: int) -> None:
    with pytest.raises(InternalError):
        sequence_number.following(now, -10)


def test_each_sender_has_its_own_line(tmp_path: Path) -> None:
    folder = str(tmp_path / "state" / "credagent")
    assert sequence_number.reserve(folder, "aa", NOW) == NOW_US
    assert sequence_number.reserve(folder, "aa", NOW) == NOW_US + 1
    assert sequence_number.reserve(folder, "bb", NOW) == NOW_US
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert os.stat(f"{folder}/sequence-aa").st_mode & 0o777 == 0o600


def test_two_at_once_get_two_numbers(tmp_path: Path) -> None:
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda: got.append(sequence_number.reserve(str(tmp_path / "s"), "aa", NOW)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(NOW_US, NOW_US + 8))


def test_a_file_that_holds_no_number_is_reported_not_overwritten(tmp_path: Path) -> None:
    folder = str(tmp_path / "s")
    sequence_number.reserve(folder, "aa", NOW)
    (tmp_path / "s" / "sequence-aa").write_text("x")
    with pytest.raises(ConfigurationError):
        sequence_number.reserve(folder, "aa", NOW)


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionRefused):
        sequence_number.reserve(str(folder), "aa", NOW)


def test_where_it_cannot_be_remembered_no_number_is_given() -> None:
    with pytest.raises(OutputError):
        sequence_number.reserve("/proc/nowhere/credagent", "aa", NOW)


def test_a_clock_that_stepped_back_far_is_noticed() -> None:
    assert sequence_number.runs_ahead(NOW_US + 301_000_000, NOW)
    assert not sequence_number.runs_ahead(NOW_US + 1, NOW)


def test_the_folder_follows_the_xdg_rules() -> None:
    assert sequence_number.state_folder({"XDG_STATE_HOME": "/x"}) == "/x/credagent"
    assert sequence_number.state_folder({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == "/h/.local/state/credagent"
