"""Says that something has happened to watched folders: in them, to them or those above, or to the mounts under them.

inotify(7) for all but mounts; for them the kernel says that the table of this process has changed, not what
(proc_pid_mountinfo(5)): a file system that is unmounted lazily is no event in its folders.
"""

import os
import select
from contextlib import ExitStack, suppress
from typing import Self

from credagent.system.inotify import MASK_ADD, MOVE_SELF, UNMOUNT, Inotify


class FolderEvents:
    """Watched folders. A context manager, which ends all watches."""

    def __init__(self) -> None:
        """Watch nothing yet. Raises OSError where this user has no inotify instance left."""
        with ExitStack() as opened:
            self._inotify = opened.enter_context(Inotify())
            self._sources = opened.enter_context(select.epoll())
            self._sources.register(self._inotify.descriptor, select.EPOLLIN)
            with suppress(OSError):  # no /proc here
                mounts = opened.enter_context(open("/proc/self/mountinfo", "rb", buffering=0))
                self._sources.register(mounts, select.EPOLLPRI)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        """Return the instance."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all watches."""
        self._opened.close()

    def watch(self, path: str, mask: int) -> None:
        """Watch the folder `path` for what `mask` says, and those above it for being moved. Raises OSError."""
        self._inotify.watch(path, mask | MASK_ADD)
        above = os.path.dirname(path)
        while above != os.path.dirname(above):
            with suppress(OSError):  # one that this user cannot read
                self._inotify.watch(above, MOVE_SELF | MASK_ADD)
            above = os.path.dirname(above)

    async def come(self, seconds: float) -> list[int]:
        """Wait for events, `seconds` at most; return their masks. UNMOUNT alone: some mount has come or gone."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        loop, come = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._sources.fileno(), come.set)
        try:
            async with asyncio.timeout(seconds):
                await come.wait()
        except TimeoutError:
            return []
        finally:
            loop.remove_reader(self._sources.fileno())
        self._sources.poll(0)
        return self._inotify.read() or [UNMOUNT]
