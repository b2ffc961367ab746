"""The `file:` channel: a path into which somebody renames (or writes) a sealed bundle. Seen by inotify, never polled.

A file system that is changed from another machine (NFS) gives no events: there, a reload reads it again.
"""

import os
import stat
from typing import TYPE_CHECKING

from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Arrived, Content
from credagent.errors import CredagentError
from credagent.system.file_reading import read_bounded

if TYPE_CHECKING:
    from asyncinotify import Inotify, Mask


class FileChannel:
    """A bundle at a path. A file that vanishes changes nothing; an empty one is refused."""

    shared = False
    waits = False

    def __init__(self, path: str, *, name: str = "file") -> None:
        """Follow `path`, which may not exist yet, and whose folders may not either."""
        self.name = name
        self._path = os.path.abspath(path)

    def present(self) -> Content:
        """Read the file, bounded; a fifo, a device or a file that is too large refuses the content."""
        try:
            return read_bounded(self._path, ENVELOPE_LIMIT_BYTES)
        except CredagentError as error:
            return error

    async def follow(self, arrived: Arrived) -> None:
        """Read at once and whenever something changes in the folder (a Kubernetes mount replaces a link there)."""
        from asyncinotify import Inotify, Mask  # noqa: PLC0415  the daemon answers before it loads the loop

        told: Content = b"nothing was told yet"
        while True:
            with Inotify() as inotify:
                complete = self._watch(inotify, Mask)
                told = self._tell(arrived, told)
                async for event in inotify:
                    if not complete or event.mask & (Mask.IGNORED | Mask.MOVE_SELF | Mask.Q_OVERFLOW):
                        break
                    if not (event.mask & Mask.CREATE and self._unwritten()):
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

    def _watch(self, inotify: "Inotify", mask: "type[Mask]") -> bool:
        """Watch the file's folder, or the nearest folder that exists (False: watch again after its next event)."""
        wanted = mask.CREATE | mask.MOVED_TO | mask.CLOSE_WRITE | mask.ATTRIB | mask.MOVE_SELF | mask.ONLYDIR
        folder = os.path.dirname(self._path)
        complete = True
        while True:
            try:
                inotify.add_watch(folder, wanted)
            except (FileNotFoundError, NotADirectoryError):
                folder, complete = os.path.dirname(folder), False
            else:
                # A folder made between the failure and the watch would be missed: look again.
                return complete or (self._watch(inotify, mask) if self._nearer_exists(folder) else False)

    def _nearer_exists(self, watched: str) -> bool:
        parent = os.path.dirname(self._path)
        while os.path.dirname(parent) != watched and parent != watched:
            parent = os.path.dirname(parent)
        return parent != watched and os.path.isdir(parent)
