"""Translates what the operating system says of a file into errors of ours, each with what to do about it."""

import errno
import os

from credagent.errors import ConfigurationError, CredagentError, OutputError, PermissionRefused

_OUTPUT_HINTS = {
    errno.ENOSPC: "free some space on that file system, then try again",
    errno.EDQUOT: "the quota of this user is used up: free some space, then try again",
    errno.EROFS: "that file system is mounted read-only: name another folder",
    errno.EACCES: "give this user the right to write there, or name another folder",
    errno.EPERM: "give this user the right to write there, or name another folder",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "a part of that path is a file: name another folder",
}


def output_error(path: str, error: OSError) -> OutputError:
    """Translate what the operating system said about writing `path`."""
    hint = _OUTPUT_HINTS.get(error.errno or 0, "see what is at that path, and whether this user may write there")
    return OutputError("not-written", _reason(error), what=path, hint=hint)


def input_error(path: str, error: OSError) -> CredagentError:
    """Translate what the operating system said about reading `path`."""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"let user {os.geteuid()} read it, or run as its owner"
        return PermissionRefused("file-unreadable", _reason(error), what=path, hint=hint)
    return ConfigurationError("file-unreadable", _reason(error), what=path, hint="see what is at that path")


def _reason(error: OSError) -> str:
    return (os.strerror(error.errno) if error.errno else "cannot be used").lower()
