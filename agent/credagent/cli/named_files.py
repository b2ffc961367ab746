"""Files that a person names for a command: a sealed bundle to be read, or the place of an output."""

import os
import stat
import sys

from credagent.errors import ConfigurationError, OutputError
from credagent.system.file_errors import output_error
from credagent.system.file_writing import write_private


def read_bundle(path: str) -> bytes:
    """Return what is in the file `path` (`-`: standard input), at most what tells that it is too large.

    Raises ConfigurationError where there is no such file, Refused or PermissionRefused as `read_bounded`.
    """
    from credagent.bundle.envelope import MAX_TEXT_BYTES
    from credagent.system.file_reading import read_bounded

    if path == "-":
        return sys.stdin.buffer.read(MAX_TEXT_BYTES + 2)
    data = read_bounded(path, MAX_TEXT_BYTES + 1)
    if data is None:
        raise ConfigurationError("file-missing", "there is no such file", what=path, hint="check the path")
    return data


def write_output(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path`, whole or not at all.

    Raises OutputError, also for what is there and is no regular file: as root, a rename would take a device away.
    """
    try:
        replaceable = _is_replaceable(path)
    except OSError as error:
        raise output_error(path, error) from error
    if not replaceable:
        hint = "name a file; for standard output give -, where the command takes it"
        raise OutputError("not-written", "not a regular file", what=path, hint=hint)
    write_private(path, data, mode)


def _is_replaceable(path: str) -> bool:
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
