"""Writes the files that matter: private from the first byte, whole or not at all, durable unless they are of one boot.

What a file means, and who may read it, is decided elsewhere.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from credagent.errors import OutputError
from credagent.system.file_errors import output_error

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAWN_BYTES = 6


def write_private(path: str, data: bytes, mode: int = 0o600, *, of_this_boot: bool = False) -> None:
    """Put `data` in place of the file at `path`: whole or not at all, also after a power loss. Raises OutputError.

    Nobody waits for the disk for what is `of_this_boot`: after a power loss it may be there, as it was, or empty.
    """
    try:
        with _temporary(path, data, mode, durable=not of_this_boot) as temporary:
            os.rename(temporary, path)
        if not of_this_boot:
            _sync_folder(path)
    except OSError as error:
        raise output_error(path, error) from error


def create_new_private(path: str, data: bytes, mode: int = 0o600) -> None:
    """Make a new file, whole or not at all. Raises OutputError, with code `exists` where something has that name."""
    try:
        with _temporary(path, data, mode) as temporary:
            # A hard link, because unlike rename it fails where the name is taken, and unlike open(O_EXCL) it never
            # leaves half a key behind.
            os.link(temporary, path)
        _sync_folder(path)
    except FileExistsError as error:
        hint = "it is never overwritten: move it away first, or name another place"
        raise OutputError("exists", "exists already", what=path, hint=hint) from error
    except OSError as error:
        raise output_error(path, error) from error


def remove_own_file(path: str) -> None:
    """Remove a file of this user, if there is one. Raises OutputError."""
    try:
        if _is_our_file(path):
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise output_error(path, error) from error


def remove_leftovers(folder: str, name: str = "") -> None:
    """Remove what a writer that was killed has left in a folder; of the file `name` alone where that is given.

    What a living writer is at work on stays: it holds a lock on it. Never raises: who cannot sweep can still write.
    """
    with suppress(OSError):
        for found in os.listdir(folder):
            if _is_temporary(found, name):
                with suppress(OSError):
                    _remove_unlocked(os.path.join(folder, found))


def _remove_unlocked(path: str) -> None:
    if not _is_our_file(path):
        return
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(fd)


def _is_our_file(path: str) -> bool:
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _is_temporary(found: str, name: str) -> bool:
    """Tell whether `_temporary` gives such names."""
    stem, _, drawn = found[1:].removesuffix(".tmp").rpartition(".")
    named = found.startswith(".") and found.endswith(".tmp") and len(drawn) == 2 * _DRAWN_BYTES
    return named and set(drawn) <= set("0123456789abcdef") and (not name or stem == name)


@contextmanager
def _temporary(path: str, data: bytes, mode: int, *, durable: bool = True) -> Iterator[str]:
    """Give the name of a file beside `path` that has `data` (`durable`: on the disk); then it is renamed, or gone.

    It is locked while this process is at work on it, so that the next writer of `path` can tell it from one that a
    killed writer has left: such a file may hold a private key.
    """
    folder, name = os.path.split(path)
    remove_leftovers(folder or ".", name)
    temporary, fd = _locked_temporary(folder or ".", name)
    try:
        os.fchmod(fd, mode)  # before the first byte; os.open would apply the umask to it
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.close(fd)


def _locked_temporary(folder: str, name: str) -> tuple[str, int]:
    while True:
        temporary = f"{folder}/.{name}.{os.urandom(_DRAWN_BYTES).hex()}.tmp"
        fd = os.open(temporary, _CREATE, 0o600)
        with suppress(OSError):  # a file system without locks: nobody can take it for a leftover there either
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return temporary, fd
        os.close(fd)  # another writer came between the two calls, and took it for a leftover


def _sync_folder(path: str) -> None:
    """Make the name durable too: without this a power loss can bring the earlier file back, replay marks included."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
