"""What the kernel tells of folders that are taken away, also where something in them is open."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.system import inotify
from credagent.system.folder_events import FolderEvents
from tests.patience import scaled

TAKEN = inotify.DELETE | inotify.MOVE_SELF


def told(folder: Path, happens: Callable[[Path], object]) -> list[int]:
    """Watch `folder`, let something happen to it, and return what was told."""

    async def story() -> list[int]:
        with FolderEvents() as events:
            events.watch(str(folder), TAKEN)
            assert await events.come(0) == []
            happens(folder)
            return await events.come(scaled(10))

    return asyncio.run(story())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "above" / "watched"
    made.mkdir(parents=True)
    (made / "file").touch()
    return made


def test_a_folder_that_is_removed_while_something_in_it_is_open_was_emptied_first(folder: Path) -> None:
    with (folder / "file").open():
        assert inotify.DELETE in told(folder, shutil.rmtree)


def test_a_folder_that_moves_with_the_one_above_is_told_of(folder: Path) -> None:
    assert told(folder, lambda watched: watched.parent.rename(watched.parent.with_name("elsewhere"))) == [
        inotify.MOVE_SELF
    ]


def test_what_happens_beside_it_is_not_told(folder: Path) -> None:
    async def story() -> list[int]:
        with FolderEvents() as events:
            events.watch(str(folder), TAKEN)
            (folder.parent / "beside").touch()
            (folder.parent / "beside").unlink()
            return await events.come(0)

    assert asyncio.run(story()) == []


def test_nothing_is_left_open_when_nobody_watches_any_more(folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    told(folder, lambda watched: (watched / "file").unlink())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
