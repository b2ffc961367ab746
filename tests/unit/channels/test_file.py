"""A file that is followed where the kernel tells of changes, where it cannot, and where the folder goes away."""

import asyncio
import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent import log
from credagent.channels.file import FileChannel
from credagent.channels.pull_channel import Content
from credagent.system import folder_events
from tests.patience import scaled

LOOK_S = 0.02


class Told:
    """What a followed file told, and how to wait for it."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self._news = asyncio.Event()

    def __call__(self, content: Content) -> None:
        self.contents.append(content)
        self._news.set()

    async def until(self, last: Content) -> None:
        async with asyncio.timeout(scaled(30)):
            while not self.contents or self.contents[-1] != last:
                self._news.clear()
                await self._news.wait()


def follow(path: Path, story: Callable[[Told], object]) -> list[Content]:
    """Follow a file while a story is told; return what the file told."""

    async def told() -> list[Content]:
        arrived = Told()
        following = asyncio.create_task(FileChannel(str(path), look_s=LOOK_S).follow(arrived))
        await story(arrived)  # type: ignore[misc]  # a coroutine function
        following.cancel()
        return arrived.contents

    return asyncio.run(told())


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("arriving").write_bytes(content)
    path.with_name("arriving").rename(path)


@pytest.fixture(params=["events", "schedule"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the kernel have inotify instances, or none for this user."""
    if request.param == "schedule":

        def none_left(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, "too many")

        monkeypatch.setattr(folder_events, "Inotify", none_left)
    return str(request.param)


@pytest.mark.usefixtures("_kernel")
def test_each_content_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "inbox" / "bundle"

    async def story(told: Told) -> None:
        await told.until(None)
        for content in (b"one", b"two"):
            put(path, content)
            await told.until(content)
        path.unlink()
        put(path.with_name("another"), b"x")  # that a file vanishes is no event worth waking for
        await told.until(None)

    assert follow(path, story) == [None, b"one", b"two", None]


@pytest.mark.usefixtures("_kernel")
def test_a_folder_that_is_removed_and_made_again_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "inbox" / "bundle"
    put(path, b"one")

    async def story(told: Told) -> None:
        await told.until(b"one")
        shutil.rmtree(tmp_path / "run")
        await told.until(None)
        put(path, b"two")
        await told.until(b"two")

    follow(path, story)


def test_a_folder_that_is_replaced_while_something_in_it_is_open_is_followed(tmp_path: Path) -> None:
    """No event tells of it: what is open keeps the removed folder alive, as the agent's own lock does."""
    path = tmp_path / "run" / "bundle"
    put(path, b"one")

    async def story(told: Told) -> None:
        await told.until(b"one")
        with (path.parent / "lock").open("w"):
            shutil.rmtree(path.parent)
            await told.until(None)
            put(path, b"two")
            await told.until(b"two")

    follow(path, story)


def test_that_nothing_can_be_watched_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, **_: said.append(event))

    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(folder_events, "Inotify", none_left)
    path = tmp_path / "bundle"

    async def story(told: Told) -> None:
        for content in (b"one", b"two", b"three"):
            put(path, content)
            await told.until(content)

    follow(path, story)
    assert said == ["file_not_watched"]
