"""Folders and files as they are: owner, mode, kind of file system, and what room is left."""

import os
import stat

from credagent.operations.doctor.facts import PathFacts

LONGEST_TABLE_BYTES = 1024 * 1024


def folder_facts(path: str) -> PathFacts | None:
    """Return what is true of a folder, None where there is none."""
    try:
        found, room = os.stat(path), os.statvfs(path)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    return PathFacts(
        path=path,
        uid=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
        file_system=file_system(path),
        size_bytes=room.f_blocks * room.f_frsize,
        free_bytes=room.f_bavail * room.f_frsize,
        free_inodes=room.f_favail if room.f_files else None,  # some file systems count none
    )


def file_facts(path: str) -> PathFacts | None:
    """Return what is true of a file, None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return PathFacts(path=path, uid=found.st_uid, mode=stat.S_IMODE(found.st_mode))


def changed_at(path: str) -> float | None:
    """Return when a file was changed or put in its place, in seconds since 1970; one that is moved keeps its mtime."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return max(found.st_mtime, found.st_ctime)


def file_system(folder: str) -> str:
    """Return the kind of file system that `folder` is on."""
    real, kind, longest = os.path.realpath(folder), "", -1
    for line in table("/proc/self/mounts"):
        _, mounted, found, *_ = line.split(" ")
        if (real + "/").startswith(mounted.rstrip("/") + "/") and len(mounted) >= longest:
            kind, longest = found, len(mounted)
    return kind


def table(path: str) -> list[str]:
    """Return the lines of a file of the kernel's, none where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_TABLE_BYTES).splitlines()
    except OSError:
        return []
