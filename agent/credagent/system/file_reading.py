"""Reads the files that matter: bounded, never blocking, judged by what was opened and not by its name.

What a file means is decided elsewhere; this module knows modes, owners and sizes only. Links to regular files are
followed, since Kubernetes mounts secrets as links.
"""

import errno
import os
import stat

from credagent.errors import ConfigurationError, CredagentError, PermissionRefused, Refused
from credagent.system.file_errors import input_error

# Without O_NONBLOCK a fifo put in a file's place would stop the agent until somebody writes to it.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CHUNK_BYTES = 64 * 1024
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def read_private(path: str, limit: int, *, group_may_read: bool = False) -> bytes:
    """Return a key file: regular, of root or this user, at most `limit` bytes, closed to everybody else.

    A file of root's may be read by a group that this process is in: Kubernetes makes a Secret's 0400 into 0440 of root
    and the pod's fsGroup, and no other way leads a key to a container that is not root. `group_may_read` is for
    systemd's credentials, where the access of the service's user (an ACL) shows in the mode as if the group could read.
    Raises ConfigurationError (missing, not a file, too large) or PermissionRefused.
    """
    open_bits = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP | (0 if group_may_read else stat.S_IRGRP)
    return _read_owned(path, limit, open_bits, f"chmod 600 {path}", own_group=True)


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


def _read_owned(path: str, limit: int, open_bits: int, remedy: str, *, own_group: bool = False) -> bytes:
    fd = _open_to_read(path)
    if fd is None:
        raise ConfigurationError(
            "file-missing", "there is no such file", what=path, hint="check the path, or create it"
        )
    try:
        found = os.fstat(fd)
        if own_group and _is_roots_for_our_group(found):
            open_bits &= ~stat.S_IRGRP
        refusal = _refusal(path, found, open_bits, remedy)
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


def _is_roots_for_our_group(found: os.stat_result) -> bool:
    """Tell whether a file is root's, and its group one that this process is in and that is not root's own."""
    return found.st_uid == 0 and found.st_gid != 0 and found.st_gid in {os.getegid(), *os.getgroups()}


def _open_to_read(path: str) -> int | None:
    try:
        return os.open(path, _READ)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device with nothing behind it
            hint = "name a regular file"
            raise ConfigurationError("file-not-regular", "not a regular file", what=path, hint=hint) from error
        raise input_error(path, error) from error


def _read_up_to(fd: int, path: str, limit: int) -> bytes:
    """Read at most one byte more than `limit`, so that the caller can tell a file that is too large."""
    parts: list[bytes] = []
    missing = limit + 1
    try:
        while missing > 0 and (part := os.read(fd, min(missing, _CHUNK_BYTES))):
            parts.append(part)
            missing -= len(part)
    except OSError as error:
        raise input_error(path, error) from error
    return b"".join(parts)
