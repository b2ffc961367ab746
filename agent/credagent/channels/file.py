"""The `file:` channel: a path into which somebody renames (or writes) a sealed bundle. Seen by inotify.

Where the kernel has no inotify instance left for this user, the path is looked at on a schedule. A file system that is
changed from another machine (NFS) gives no events either: there, a reload reads it again.
"""

import os
import stat
from typing import TYPE_CHECKING

from credagent import log
from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Arrived, Content
from credagent.errors import CredagentError
from credagent.system import inotify
from credagent.system.file_reading import read_bounded
from credagent.tick import until_tick

if TYPE_CHECKING:
    from credagent.system.folder_events import FolderEvents

LOOK_S = 5.0  # between two looks where nothing can be watched, and after something was removed: the folder may follow
NOTHING_TOLD: Content = b"nothing was told yet"
_REMOVED = inotify.DELETE | inotify.MOVED_FROM
_WRITTEN = inotify.CREATE | inotify.MOVED_TO | inotify.CLOSE_WRITE | inotify.ATTRIB
_WANTED = _WRITTEN | _REMOVED | inotify.MOVE_SELF | inotify.ONLYDIR
_WATCH_AGAIN = inotify.IGNORED | inotify.MOVE_SELF | inotify.Q_OVERFLOW

Identity = tuple[int, ...] | None
"""Device and inode of a folder, and what else tells one state of a file from another; None where nothing is there."""


class FileChannel:
    """A bundle at a path. A file that vanishes changes nothing; an empty one is refused."""

    shared = False
    waits = False

    def __init__(self, path: str, *, name: str = "file", look_s: float = LOOK_S) -> None:
        """Follow `path`, which may not exist yet, and whose folders may not either."""
        self.name = name
        self._path, self._look_s = os.path.abspath(path), look_s

    def present(self) -> Content:
        """Read the file, bounded; a fifo, a device or a file that is too large refuses the content."""
        try:
            return read_bounded(self._path, ENVELOPE_LIMIT_BYTES)
        except CredagentError as error:
            return error

    async def follow(self, arrived: Arrived) -> None:
        """Read at once and whenever something changes in the folder (a Kubernetes mount replaces a link there)."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        from credagent.system.folder_events import FolderEvents  # noqa: PLC0415  the daemon answers before it watches

        told, unwatchable, seen = self._tell(arrived, NOTHING_TOLD), "", self._file_identity()
        while True:
            try:
                with FolderEvents() as events:
                    told = await self._follow_events(events, arrived, told)
                unwatchable = ""
            except OSError as error:  # no instance, descriptor or watch is left
                reason = os.strerror(error.errno or 0).lower()
                if reason != unwatchable:
                    log.warning("file_not_watched", path=self._path, why=reason, looked_at_every_s=self._look_s)
                unwatchable = reason
                await asyncio.sleep(self._look_s)
                before, seen = seen, self._file_identity()
                if seen == before:  # else somebody may be writing it in this moment
                    told = self._tell(arrived, told)

    async def _follow_events(self, events: "FolderEvents", arrived: Arrived, told: Content) -> Content:
        """Tell what events bring until the watch is not the right one any more; return what was told last."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        loop = asyncio.get_running_loop()
        folder, complete = self._watch(events)
        watched, removed = _folder_identity(folder), False
        told = self._tell(arrived, told)
        while True:
            masks = await events.come(self._look_s if removed else until_tick(loop.time()))
            # Removed, replaced or unmounted: while something in it is open, that is no event.
            if (masks and not complete) or _folder_identity(folder) != watched:
                return told
            removed = any(mask & _REMOVED for mask in masks)
            for mask in masks:
                if mask & _WATCH_AGAIN:
                    return told
                if mask & _WRITTEN and not (mask & inotify.CREATE and self._unwritten()):
                    told = self._tell(arrived, told)

    def _tell(self, arrived: Arrived, told: Content) -> Content:
        """Tell the present content where it is another one: most events in the folder are of other files."""
        content = self.present()
        if isinstance(content, CredagentError) or content != told:
            arrived(content)
        return content

    def _unwritten(self) -> bool:
        """Tell whether somebody has just made the file and writes it in place: closing it will be an event too."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == 0

    def _file_identity(self) -> Identity:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _watch(self, events: "FolderEvents") -> tuple[str, bool]:
        """Watch the file's folder, or the nearest folder that exists (False: watch again after its next event)."""
        folder = os.path.dirname(self._path)
        complete = True
        while True:
            try:
                events.watch(folder, _WANTED)
            except (FileNotFoundError, NotADirectoryError):
                folder, complete = os.path.dirname(folder), False
            else:
                # A folder made between the failure and the watch would be missed: look again.
                found = folder, complete
                return found if complete or not self._nearer_exists(folder) else self._watch(events)

    def _nearer_exists(self, watched: str) -> bool:
        parent = os.path.dirname(self._path)
        while os.path.dirname(parent) != watched and parent != watched:
            parent = os.path.dirname(parent)
        return parent != watched and os.path.isdir(parent)


def _folder_identity(folder: str) -> Identity:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino
