"""Reading and writing the files that matter: bounded, never blocking, private from the first byte, whole or not at all.

What a file means is decided elsewhere; this module knows modes, owners and sizes only. Links to regular files are
followed when reading (Kubernetes mounts secrets as links), because what is judged is what was opened, not its name.
"""

import errno
import os
import stat
from contextlib import suppress

from credagent.errors import ConfigurationError, CredagentError, OutputError, PermissionRefused, Refused

# Without O_NONBLOCK a fifo put in a file's place would stop the agent until somebody writes to it.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 64 * 1024
_DRAWN_BYTES = 6
_ABSENT = (errno.ENOENT, errno.ENOTDIR)

_OUTPUT_HINTS = {
    errno.ENOSPC: "free some space on that file system, then try again",
    errno.EDQUOT: "the quota of this user is used up: free some space, then try again",
    errno.EROFS: "that file system is mounted read-only: name another folder",
    errno.EACCES: "give this user the right to write there, or name another folder",
    errno.EPERM: "give this user the right to write there, or name another folder",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "a part of that path is a file: name another folder",
}


def read_private(path: str, limit: int, *, group_may_read: bool = False) -> bytes:
    """Return a key file: regular, of root or this user, at most `limit` bytes, closed to everybody else.

    `group_may_read` is for systemd's credentials, where the access of the service's user (an ACL) shows in the mode
    as if the group could read. Raises ConfigurationError (missing, not a file, too large) or PermissionRefused.
    """
    open_bits = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP | (0 if group_may_read else stat.S_IRGRP)
    return _read_owned(path, limit, open_bits, f"chmod 600 {path}")


def read_trusted(path: str, limit: int) -> bytes:
    """Return a configuration or trust file: regular, of root or this user, writable by nobody else.

    Raises ConfigurationError (missing, not a file, too large) or PermissionRefused.
    """
    return _read_owned(path, limit, stat.S_IWGRP | stat.S_IWOTH, f"chmod go-w {path}")


def read_bounded(path: str, limit: int) -> bytes | None:
    """Return a file that anybody may have written (a sealed bundle), None where there is none.

    Raises Refused (not a regular file, more than `limit` bytes) or PermissionRefused. Empty content is returned as is.
    """
    try:
        fd = _open_to_read(path)
    except ConfigurationError as error:
        raise Refused(error.code, error.why, what=path, hint=error.hint) from error
    if fd is None:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused("file-not-regular", "not a regular file", what=path, hint="name a regular file")
        data = _read_up_to(fd, path, limit)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise Refused("too-large", f"more than {limit} bytes", what=path, hint="is this the right file?")
    return data


def write_private(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in place of the file at `path`: whole or not at all, also after a power loss. Raises OutputError."""
    try:
        if not _may_be_replaced(path):
            hint = "name a file; for standard output give -, where the command takes it"
            raise OutputError("not-written", "not a regular file", what=path, hint=hint)
        temporary = _write_temporary(path, data, mode)
        try:
            os.rename(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        _sync_folder(path)
    except OSError as error:
        raise output_error(path, error) from error


def create_new_private(path: str, data: bytes, mode: int = 0o600) -> None:
    """Make a new file, whole or not at all. Raises OutputError, with code `exists` where something has that name."""
    try:
        temporary = _write_temporary(path, data, mode)
        try:
            # A hard link, because unlike rename it fails where the name is taken, and unlike open(O_EXCL) it never
            # leaves half a key behind.
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
        _sync_folder(path)
    except FileExistsError as error:
        hint = "it is never overwritten: move it away first, or name another place"
        raise OutputError("exists", "exists already", what=path, hint=hint) from error
    except OSError as error:
        raise output_error(path, error) from error


def private_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder (and its missing parents) with exactly `mode`, or accept one that nobody else can change.

    One that exists keeps its mode: systemd makes state folders 0755, and every file inside is private by itself.
    Raises PermissionRefused for a link, somebody else's folder or one that others can write; OutputError where it
    cannot be made.
    """
    path = path.rstrip("/") or "/"
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        _make_folder(path, mode)
        return
    except OSError as error:
        raise output_error(path, error) from error
    if stat.S_ISLNK(found.st_mode):
        raise PermissionRefused("folder-link", "a symbolic link", what=path, hint="name the folder itself")
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionRefused("folder-not", "not a folder", what=path, hint="move it away, or name another folder")
    if found.st_uid not in (0, os.geteuid()):
        why = f"belongs to user {found.st_uid}, not to user {os.geteuid()} who runs this"
        raise PermissionRefused("folder-owner", why, what=path, hint="name a folder of this user, or run as its owner")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"others can write to it (mode {stat.S_IMODE(found.st_mode):04o})"
        raise PermissionRefused("folder-mode", why, what=path, hint=f"chmod go-w {path}, or name a folder inside it")


def discard(path: str) -> None:
    """Remove a file of this user, if there is one. Raises OutputError."""
    try:
        if _is_our_file(path):
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise output_error(path, error) from error


def sweep(folder: str, name: str = "") -> None:
    """Remove what a writer that was killed has left in a folder; of the file `name` alone where that is given.

    Only under the lock of whoever writes there. Never raises: who cannot sweep can still serve.
    """
    with suppress(OSError):
        for found in os.listdir(folder):
            if _is_temporary(found, name):
                with suppress(CredagentError):
                    discard(os.path.join(folder, found))


def output_error(path: str, error: OSError) -> OutputError:
    """Translate what the operating system said about writing `path`."""
    hint = _OUTPUT_HINTS.get(error.errno or 0, "see what is at that path, and whether this user may write there")
    return OutputError("not-written", _reason(error), what=path, hint=hint)


def _read_owned(path: str, limit: int, open_bits: int, remedy: str) -> bytes:
    fd = _open_to_read(path)
    if fd is None:
        raise ConfigurationError(
            "file-missing", "there is no such file", what=path, hint="check the path, or create it"
        )
    try:
        refusal = _refusal(path, os.fstat(fd), open_bits, remedy)
        if refusal is not None:
            raise refusal
        data = _read_up_to(fd, path, limit)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise ConfigurationError(
            "file-too-large", f"more than {limit} bytes", what=path, hint="is this the right file?"
        )
    return data


def _refusal(path: str, found: os.stat_result, open_bits: int, remedy: str) -> CredagentError | None:
    if not stat.S_ISREG(found.st_mode):
        hint = "name a regular file"
        return ConfigurationError("file-not-regular", "not a regular file", what=path, hint=hint)
    if found.st_uid not in (0, os.geteuid()):
        why = f"belongs to user {found.st_uid}, who could change it"
        return PermissionRefused("file-owner", why, what=path, hint=f"chown {os.geteuid()} {path}")
    if found.st_mode & open_bits:
        why = f"open to others (mode {stat.S_IMODE(found.st_mode):04o})"
        return PermissionRefused("file-mode", why, what=path, hint=remedy)
    return None


def _open_to_read(path: str) -> int | None:
    try:
        return os.open(path, _READ)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device with nothing behind it
            hint = "name a regular file"
            raise ConfigurationError("file-not-regular", "not a regular file", what=path, hint=hint) from error
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> CredagentError:
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"let user {os.geteuid()} read it, or run as its owner"
        return PermissionRefused("file-unreadable", _reason(error), what=path, hint=hint)
    return ConfigurationError("file-unreadable", _reason(error), what=path, hint="see what is at that path")


def _read_up_to(fd: int, path: str, limit: int) -> bytes:
    """Read at most one byte more than `limit`, so that the caller can tell a file that is too large."""
    parts: list[bytes] = []
    missing = limit + 1
    try:
        while missing > 0 and (part := os.read(fd, min(missing, _CHUNK_BYTES))):
            parts.append(part)
            missing -= len(part)
    except OSError as error:
        raise _unreadable(path, error) from error
    return b"".join(parts)


def _may_be_replaced(path: str) -> bool:
    """Tell a file, or nothing, from what the whole machine needs: as root, a rename would replace /dev/null itself."""
    try:
        found = os.lstat(path).st_mode
        if stat.S_ISLNK(found) and os.path.dirname(os.path.abspath(path)) == "/dev":
            return False  # /dev/stdout, wherever it leads at the moment
        if stat.S_ISLNK(found):
            found = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found) or stat.S_ISDIR(found)  # of a folder, rename itself says that it is one


def _is_our_file(path: str) -> bool:
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _is_temporary(found: str, name: str) -> bool:
    """Tell whether `_write_temporary` gives such names."""
    stem, _, drawn = found[1:].removesuffix(".tmp").rpartition(".")
    named = found.startswith(".") and found.endswith(".tmp") and len(drawn) == 2 * _DRAWN_BYTES
    return named and set(drawn) <= set("0123456789abcdef") and (not name or stem == name)


def _write_temporary(path: str, data: bytes, mode: int) -> str:
    temporary = f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}.{os.urandom(_DRAWN_BYTES).hex()}.tmp"
    fd = os.open(temporary, _CREATE, 0o600)
    try:
        try:
            os.fchmod(fd, mode)  # before the first byte; os.open would apply the umask to it
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _sync_folder(path: str) -> None:
    """Make the name durable too: without this a power loss can bring the earlier file back, replay marks included."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folder(path: str, mode: int) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        _make_folder(parent, mode)
    try:
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, mode)  # mkdir applies the umask
        finally:
            os.close(fd)
    except FileExistsError:
        private_folder(path, mode)  # somebody was faster: judge what they made
    except OSError as error:
        raise output_error(path, error) from error


def _reason(error: OSError) -> str:
    return (os.strerror(error.errno) if error.errno else "cannot be used").lower()
