"""Makes and judges private folders: what lies in one can be trusted only where nobody else can change the folder.

Every part of the path counts: whoever may rename one of them can put a folder of his own in its place, and with it an
agent that answers with credentials of his choice. What is kept in a folder is decided elsewhere.
"""

import os
import stat

from credagent.errors import CredagentError, PermissionRefused
from credagent.system.file_errors import output_error

_MOST_LINKS = 40  # as Linux: path_resolution(7)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_private_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder (and its missing parents) with exactly `mode`, or accept one that nobody else can change.

    One that exists keeps the rights that it has (systemd makes state folders 0755, and every file inside is private by
    itself), and gets those of `mode` that it lacks where it is this user's: an agent that was killed by an earlier
    release may have left it closed to workers. Raises PermissionRefused for a link, somebody else's folder or one that
    others can write, and for a path of which somebody else can replace a part; OutputError where it cannot be made.
    """
    path = os.path.abspath(path)
    _judge_way(path)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        _make_folder(path, mode)
        return
    except OSError as error:
        raise output_error(path, error) from error
    _judge(path, found)
    if found.st_uid == os.geteuid() and mode & ~found.st_mode:
        _add_rights(path, mode)


def judge_others_folder(path: str) -> None:
    """Judge a folder in which another user may serve us: the machine's agent has a user of its own.

    Raises PermissionRefused where a stranger can replace a part of the path, or could make the folder himself since
    everybody may make one there. What is not there is nobody's.
    """
    path = os.path.abspath(path)
    _judge_way(path)
    try:
        found, parent = os.lstat(path), os.stat(os.path.dirname(path))
    except OSError:
        return
    if found.st_uid not in _trusted_owners() and parent.st_mode & stat.S_IWOTH:
        why = f"belongs to user {found.st_uid}, and everybody can make such a folder there"
        raise PermissionRefused("folder-owner", why, what=path, hint="name a folder below one of root's")


def _judge(path: str, found: os.stat_result) -> None:
    """Raise PermissionRefused for what is no folder of root's or ours that only its owner can write."""
    if stat.S_ISLNK(found.st_mode):
        raise PermissionRefused("folder-link", "a symbolic link", what=path, hint="name the folder itself")
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionRefused("folder-not", "not a folder", what=path, hint="move it away, or name another folder")
    if found.st_uid not in (0, os.geteuid()):
        why = f"belongs to user {found.st_uid}, not to user {os.geteuid()} who runs this"
        raise PermissionRefused("folder-owner", why, what=path, hint="name a folder of this user, or run as its owner")
    if found.st_mode & _OTHERS_WRITE:
        why = f"others can write to it (mode {stat.S_IMODE(found.st_mode):04o})"
        raise PermissionRefused("folder-mode", why, what=path, hint=f"chmod go-w {path}, or name a folder inside it")


def _judge_way(path: str) -> None:
    """Raise PermissionRefused where somebody else can replace a part of `path` before its last.

    Links of root's and of this user's are followed, and what they lead over is judged too: /var/run is one.
    """
    owners = _trusted_owners()
    parts, here, links = os.path.dirname(path).split("/"), "/", 0
    while parts:
        here = os.path.join(here, parts.pop(0))
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return  # what is missing is made by us, in a folder that was judged
        except OSError as error:
            raise output_error(path, error) from error
        refusal = _replaceable_by_others(path, here, found, owners)
        if refusal is not None:
            raise refusal
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise PermissionRefused(
                    "folder-link", "links lead in a circle", what=here, hint="name the folder itself"
                )
            target = os.readlink(here)
            parts[:0] = target.split("/")
            here = "/" if target.startswith("/") else os.path.dirname(here)


def _replaceable_by_others(
    path: str, here: str, found: os.stat_result, owners: frozenset[int]
) -> CredagentError | None:
    hint = "name a folder below one of this user's or of root's"
    if found.st_uid not in owners:
        why = f"{here} belongs to user {found.st_uid}, who could put another folder in its place"
        return PermissionRefused("folder-owner", why, what=path, hint=hint)
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None  # sticky: only its owner may rename what lies in it, and that is judged next
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_private_group(found)):
        why = f"others can replace what lies in {here} (mode {stat.S_IMODE(found.st_mode):04o})"
        return PermissionRefused("folder-mode", why, what=path, hint=f"chmod +t {here}, or {hint}")
    return None


def _is_private_group(found: os.stat_result) -> bool:
    """Tell whether the group is its owner's own (of his number or name), and nobody else is known to be in it.

    Another group never counts, however empty it looks: a site's database may keep from us who is in it (sssd.conf(5),
    `enumerate` and `ignore_group_members`). Some distributions give root's group to system accounts; they are root's.
    """
    import grp  # noqa: PLC0415  only where a group may write
    import pwd  # noqa: PLC0415  only where a group may write

    uid, gid = found.st_uid, found.st_gid
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return uid == gid
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = ""
    if (uid != gid and group.gr_name != owner) or set(group.gr_mem) - {owner}:
        return False
    return gid == 0 or all(account.pw_uid == uid for account in pwd.getpwall() if account.pw_gid == gid)


def _trusted_owners() -> frozenset[int]:
    """Return who may own a part of the way: root and this user.

    In a user namespace (Apptainer, rootless containers) all whom it does not map, root of the machine among them, have
    one number. They cannot be told apart there.
    """
    owners = {0, os.geteuid()}
    try:
        with open("/proc/self/uid_map", "rb") as mapped, open("/proc/sys/kernel/overflowuid", "rb") as overflow:
            if mapped.read(256).split() != [b"0", b"0", b"4294967295"]:
                owners.add(int(overflow.read(16)))
    except (OSError, ValueError):
        pass  # no such file system, or no Linux: nobody else is trusted
    return frozenset(owners)


def _make_folder(path: str, mode: int) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        _make_folder(parent, mode)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        make_private_folder(path, mode)  # somebody was faster: judge what they made
    except OSError as error:
        raise output_error(path, error) from error
    else:
        _add_rights(path, mode)  # mkdir applies the umask


def _add_rights(path: str, mode: int) -> None:
    """Give a folder of ours the rights of `mode` that it lacks."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | mode)
        finally:
            os.close(fd)
    except OSError as error:
        raise output_error(path, error) from error
