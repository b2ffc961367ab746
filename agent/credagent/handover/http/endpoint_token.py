"""The endpoint's bearer token: a private file, made once per boot, that workers can read. `refusals` compares it.

`runtime_dir` is a tmpfs, so "once per boot" is: made where missing, kept where it is. The token keeps out a deceived
program of an allowed user (a browser, a proxy); other users are kept out by their uid. See ADR-04-token-file.md.
"""

import os
import re
import secrets
import struct

from credagent import log
from credagent.errors import CredagentError
from credagent.secret import Secret
from credagent.system.file_reading import read_private
from credagent.system.file_writing import write_private

TOKEN_FILE = "token"  # noqa: S105  a name
TOKEN_BYTES = 32
READ_LIMIT_BYTES = 128

_WELL_FORMED = re.compile(rb"[A-Za-z0-9_-]{43}")
_ACL = "system.posix_acl_access"
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")  # tag, permissions, id (acl(5); linux/posix_acl_xattr.h)
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_READ, _WRITE, _NOBODY = 4, 2, 0xFFFFFFFF


def token_path(runtime_dir: str) -> str:
    """Return where the token is, for AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE."""
    return f"{runtime_dir}/{TOKEN_FILE}"


def load_or_make(runtime_dir: str, *, users: frozenset[int], groups: frozenset[int]) -> Secret:
    """Return this boot's token; workers of `users` and `groups` can read its file. Raises OutputError.

    The file has no trailing newline: boto, object_store and tensorstore each fail on one in a way of their own.
    """
    path = token_path(runtime_dir)
    token = _existing(path)
    if token is None:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        write_private(path, token.encode(), of_this_boot=True)
    _let_read(path, users - {0, os.geteuid()}, groups)
    return Secret(token)


def put_back(token: Secret, runtime_dir: str, *, users: frozenset[int], groups: frozenset[int]) -> None:
    """Write this boot's token again where its file is gone: workers were told it. Raises OutputError."""
    path = token_path(runtime_dir)
    if not os.path.lexists(path):
        write_private(path, token.reveal().encode(), of_this_boot=True)
        _let_read(path, users - {0, os.geteuid()}, groups)


def _existing(path: str) -> str | None:
    """Return the token of an earlier start; one that is not as we write it, or that others made, is replaced."""
    try:
        found = read_private(path, READ_LIMIT_BYTES, group_may_read=True)
    except CredagentError:
        return None
    return found.decode() if _WELL_FORMED.fullmatch(found) else None


def _let_read(path: str, users: frozenset[int], groups: frozenset[int]) -> None:
    """Let exactly these read, by an access control list: an agent that is not root can give no file away."""
    if not users and not groups:
        return
    entries = [
        (_OWNER, _READ | _WRITE, _NOBODY),
        *((_USER, _READ, uid) for uid in sorted(users)),
        (_OWNING_GROUP, 0, _NOBODY),
        *((_GROUP, _READ, gid) for gid in sorted(groups)),
        (_MASK, _READ, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    ]
    try:
        os.setxattr(path, _ACL, _ACL_VERSION + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries))
    except OSError as error:
        if len(groups) > 0 and _give_to_group(path, min(groups)):
            return
        log.warning("token_not_readable_by_workers", path=path, reason=error.strerror)


def _give_to_group(path: str, group: int) -> bool:
    """Where the file system knows no lists: root, and a member of the group, can still do this."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(fd, -1, group)
        os.fchmod(fd, 0o640)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
