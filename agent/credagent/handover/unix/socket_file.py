"""The agent's Unix socket as a file: bound, replaced when stale, removed when still ours. It is served elsewhere.

Bound before the event loop is loaded, so that a worker's side which is faster than the agent waits in the backlog.
"""

import errno
import os
import socket
import stat
from contextlib import suppress

from msgspec import Struct

from credagent.config.values import LONGEST_SOCKET_PATH_BYTES
from credagent.errors import ConfigurationError, PermissionRefused
from credagent.system.file_errors import output_error

_BACKLOG = 1_024
_PROBE_S = 1.0  # for asking whether somebody listens already; a local answer takes microseconds
_UMASK = 0o111  # 0666: everybody may connect, since each caller is judged by what the kernel says of it


class BoundSocket(Struct, frozen=True, kw_only=True):
    """A listening socket and the file that leads to it."""

    sock: socket.socket
    path: str
    device: int
    inode: int

    def is_there(self) -> bool:
        """Tell whether the file still leads to this socket."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def close(self) -> None:
        """Stop listening, and remove the file unless a successor has already put its own there."""
        try:
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise output_error(self.path, error) from error
        finally:
            self.sock.close()


def bind(path: str) -> BoundSocket:
    """Listen at `path`, in place of a stale socket.

    Bound under another name with its final mode, then renamed: there is no moment at which the mode is wrong or a
    client finds nobody. Raises ConfigurationError (too long, in use), PermissionRefused (something else is there) or
    OutputError.
    """
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH_BYTES - len(_suffix()):
        hint = "choose a shorter runtime_dir"
        raise ConfigurationError("socket-path", "longer than a socket's path may be", what=path, hint=hint)
    _replaceable(path)
    _remove_leftovers(path)
    temporary = path + _suffix()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        found = _bind_and_rename(sock, temporary, path)
    except OSError as error:
        sock.close()
        raise output_error(path, error) from error
    return BoundSocket(sock=sock, path=path, device=found.st_dev, inode=found.st_ino)


def _suffix() -> str:
    return f".{os.getpid()}"


def _remove_leftovers(path: str) -> None:
    """Remove what agents that were killed between the two steps of `bind` have left: sockets with their numbers."""
    folder, name = os.path.split(path)
    with suppress(OSError):
        for found in os.listdir(folder or "."):
            stem, _, pid = found.rpartition(".")
            if stem == name and pid.isdecimal() and not _lives(int(pid)):
                leftover = os.path.join(folder, found)
                status = os.lstat(leftover)
                if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid():
                    os.unlink(leftover)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's, or a number that no process has: not for us to judge
    return True


def _bind_and_rename(sock: socket.socket, temporary: str, path: str) -> os.stat_result:
    umask = os.umask(_UMASK)
    try:
        try:
            sock.bind(temporary)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            os.unlink(temporary)  # left by an earlier process of our number that was killed in this very place
            sock.bind(temporary)
    finally:
        os.umask(umask)
    try:
        sock.listen(_BACKLOG)
        found = os.lstat(temporary)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return found


def _replaceable(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there, or binding will say what is wrong
    if not stat.S_ISSOCK(mode):
        hint = "move it away, or choose another runtime_dir"
        raise PermissionRefused("socket-not", "something that is no socket is there", what=path, hint=hint)
    if _answers(path):
        hint = "stop the agent that runs, or give this one a runtime_dir of its own"
        raise ConfigurationError("socket-in-use", "another agent listens there", what=path, hint=hint)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except TimeoutError:
            return True  # its backlog is full: somebody is there
        except OSError:
            return False
    return True
