"""Makes and judges private folders: what lies in one can be trusted only where nobody else can change the folder.

What is kept in a folder is decided elsewhere.
"""

import os
import stat

from credagent.errors import PermissionRefused
from credagent.system.file_errors import output_error


def make_private_folder(path: str, mode: int = 0o700) -> None:
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
        make_private_folder(path, mode)  # somebody was faster: judge what they made
    except OSError as error:
        raise output_error(path, error) from error
