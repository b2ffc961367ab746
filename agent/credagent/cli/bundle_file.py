"""A sealed bundle as a command's argument: a file, or standard input. What it says is not looked at."""

import sys

from credagent.errors import ConfigurationError


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
