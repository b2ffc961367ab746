"""A file that a person names for a command's output: refused where writing it would take something from the machine."""

import os
import stat

from credagent.errors import OutputError
from credagent.system.file_errors import output_error
from credagent.system.file_writing import write_private


def write_output(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path`, whole or not at all. Raises OutputError, also for what is there and is no regular file."""
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
