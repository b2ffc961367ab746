"""Says that something happens in folders: inotify(7). Which events matter is decided by who watches."""

import os
from struct import Struct
from typing import Self

ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
ONLYDIR = 0x1000000  # with a watch: fail where the path is no folder
MASK_ADD = 0x20000000  # with a watch: and what is watched there already
UNMOUNT, Q_OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000  # come without being asked for

_EVENT = Struct("iIII")  # struct inotify_event: watch, mask, cookie, and how many bytes of a name follow
_READ_BYTES = 16 * 1024  # an event with the longest name has 272


class Inotify:
    """One inotify instance, never inherited by programs that are started. A context manager, which closes it."""

    def __init__(self) -> None:
        """Make an instance. Raises OSError where this user has none left (`fs.inotify.max_user_instances`)."""
        import ctypes  # noqa: PLC0415  the daemon answers before it watches

        libc = ctypes.CDLL(None, use_errno=True)
        self._add_watch, self._errno = libc.inotify_add_watch, ctypes.get_errno
        self.descriptor = self._succeeded(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def __enter__(self) -> Self:
        """Return the instance."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all watches."""
        os.close(self.descriptor)

    def watch(self, path: str, mask: int) -> None:
        """Watch `path` for what `mask` says. Raises OSError."""
        self._succeeded(self._add_watch(self.descriptor, os.fsencode(path), mask))

    def read(self) -> list[int]:
        """Return the masks of the events that have come, without waiting for one."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        masks, at = [], 0
        while at < len(data):
            _, mask, _, name_bytes = _EVENT.unpack_from(data, at)
            masks.append(mask)
            at += _EVENT.size + name_bytes
        return masks

    def _succeeded(self, returned: int) -> int:
        if returned < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return returned
