"""Locks that end with their process. What a lock means is decided elsewhere."""

import fcntl
import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from credagent.system.file_errors import output_error


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process. `note` is the file's content."""

    __slots__ = ("_fd", "note")

    def __init__(self, fd: int, note: bytes = b"") -> None:
        """Take over a file descriptor that already holds the lock."""
        self._fd, self.note = fd, note

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes hold locks on two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_at(self, path: str) -> bool:
        """Tell whether `path` still names the file that is locked: its folder may have been replaced."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(path))
        except OSError:
            return False

    def __enter__(self) -> Self:
        """Hold it for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go, whatever happened."""
        self.release()


def lock(path: str, *, note: bytes = b"") -> Lock | None:
    """Return an exclusive lock on `path` (made where missing), None while another process holds it.

    `note` becomes the file's content: who holds it, for whoever may read the file. It stays after the lock has ended.

    A private file, and not a folder: whoever can open something can lock it, and folders are often open to all.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        raise output_error(path, error) from error
    with suppress(OSError):  # on a full disk the lock holds all the same
        if os.pread(fd, len(note) + 1, 0) != note:
            os.ftruncate(fd, 0)
            os.pwrite(fd, note, 0)
    return Lock(fd, note)
