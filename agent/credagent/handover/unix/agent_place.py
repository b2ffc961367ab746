"""Where the agent of this machine listens, as far as that is known without the whole configuration, and who owns it.

Commands that run often, and `exec`, load no TOML parser to find it.
"""

from __future__ import annotations

import os

from credagent.configuration_file import LIMIT_BYTES, default_path
from credagent.errors import CredagentError
from credagent.system.file_reading import read_bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# As `config` has them; that room takes longer to load than an answer takes.
RUNTIME_DIR_KEY, RUNTIME_DIR_VARIABLE = b"runtime_dir", "CREDAGENT_AGENT_RUNTIME_DIR"
SOCKET_VARIABLE, SOCKET_NAME = "CREDAGENT_SOCKET", "agent.sock"
_NOTE_BYTES = 64

OWNER_IS_EXEC = b"exec"
"""What the lock file of an agent says that ends with its `exec`; `run` writes another word."""


def known_places(config_path: str | None, environ: Mapping[str, str] = os.environ) -> Sequence[str]:
    """Return where an agent may listen, the likeliest first; nothing where only the whole configuration can say.

    TOML has spellings of the key that this does not find. Then nobody answers at the default places, and the caller
    reads the whole configuration. Raises PermissionRefused for a folder of the environment's that a stranger could put
    in place.
    """
    from credagent.worker.credagent_worker import socket_paths  # noqa: PLC0415  the daemon, which locks, asks nobody

    if environ.get(SOCKET_VARIABLE):
        return socket_paths(environ)
    if (named := environ.get(RUNTIME_DIR_VARIABLE)) is not None:
        if not named.startswith("/"):
            return ()  # as with what cannot be read: whoever reads all of it says what is wrong
        from credagent.system.private_folder import judge_others_folder  # noqa: PLC0415  only where a folder is named

        judge_others_folder(named)
        return (f"{named.rstrip('/')}/{SOCKET_NAME}",)
    try:
        with open(config_path or default_path(environ, os.geteuid()), "rb") as file:
            return () if RUNTIME_DIR_KEY in file.read(LIMIT_BYTES) else socket_paths(environ)
    except FileNotFoundError:
        return socket_paths(environ) if config_path is None else ()
    except OSError:
        return ()


def lock_path(folder: str) -> str:
    """Return the file whose lock says that an agent uses `folder`."""
    return f"{folder}/lock"


def ends_with_its_exec(note: bytes) -> bool:
    """Tell by the lock's note whether an agent ends with an `exec`, so that another one takes its place."""
    return note.startswith(OWNER_IS_EXEC)


def of_an_exec(path: str) -> bool:
    """Tell whether the agent that listens at `path` is one that somebody of this user has to follow when it ends."""
    try:
        note = read_bounded(lock_path(os.path.dirname(path)), _NOTE_BYTES)
    except CredagentError:
        return False  # another user's: it is not ours to replace
    return note is not None and ends_with_its_exec(note)
