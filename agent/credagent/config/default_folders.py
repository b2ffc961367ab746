"""Which folders a machine uses that names none, and where a client finds the agent. Nothing is made or opened here."""

import os
import stat
from collections.abc import Callable, Mapping

from credagent.config.channel_specs import DEFAULT_RUNTIME_DIR, SOCKET_NAME
from credagent.config.sections import DEFAULT_STATE_DIR, Config
from credagent.config.values import Folders

SOCKET_VARIABLE = "CREDAGENT_SOCKET"
SYSTEM_TRUST_FILE = "/etc/credagent/trusted-senders"


def default_folders(environ: Mapping[str, str], euid: int, may_write: Callable[[str], bool]) -> Folders:
    """Return the system's folders, or for an ordinary user who may not write them folders of his own.

    A folder below /tmp may be somebody else's until `make_private_folder` has judged it.
    """
    if euid == 0:
        return Folders(DEFAULT_RUNTIME_DIR, DEFAULT_STATE_DIR)
    runtime_dir, state_dir = DEFAULT_RUNTIME_DIR, DEFAULT_STATE_DIR
    if not may_write(runtime_dir):
        own = environ.get("XDG_RUNTIME_DIR", "")
        runtime_dir = f"{own}/credagent" if own.startswith("/") and may_write(own) else f"/tmp/credagent-{euid}"  # noqa: S108  judged when made
    if not may_write(state_dir):
        state_dir = _own_state_dir(environ, may_write) or f"{runtime_dir}/state"
    return Folders(runtime_dir, state_dir)


def trust_file(environ: Mapping[str, str], euid: int) -> str:
    """Return the file in which `credagent trust` keeps this machine's senders (root), else this user's; "" for none.

    Follows the XDG Base Directory Specification, as the sender's own key does.
    """
    if euid == 0:
        return SYSTEM_TRUST_FILE
    base, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if not base.startswith("/"):
        base = f"{home}/.config" if home.startswith("/") else ""
    return f"{base}/credagent/trusted-senders" if base else ""


def default_trusted_senders(environ: Mapping[str, str], euid: int) -> list[str]:
    """Return whom an agent trusts that is told nothing: who stands in the machine's trust file and in this user's.

    A file that is not there is left out: nobody was trusted yet.
    """
    paths = dict.fromkeys((SYSTEM_TRUST_FILE, trust_file(environ, euid)))
    return [f"file:{path}" for path in paths if path and os.path.lexists(path)]


def may_write(path: str) -> bool:
    """Tell whether the folder is there and this user can write to it, or whether he can make it."""
    where = path if os.path.isdir(path) else os.path.dirname(path)
    return os.access(where, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def agent_sockets(config: Config, environ: Mapping[str, str], euid: int) -> tuple[str, ...]:
    """Return where a client looks for the running agent, the likeliest first.

    An ordinary user who runs no agent of his own asks the machine's. A folder that somebody else made is left out:
    who listens there could answer with credentials of his choice.
    """
    if named := environ.get(SOCKET_VARIABLE):
        return (named,)
    own, system = (f"{folder}/{SOCKET_NAME}" for folder in (config.agent.runtime_dir, DEFAULT_RUNTIME_DIR))
    if own == system or "agent.runtime_dir" in config.origins:
        return (own,)
    return (own, system) if _belongs_to(config.agent.runtime_dir, euid) else (system,)


def _own_state_dir(environ: Mapping[str, str], may_write: Callable[[str], bool]) -> str:
    """Follow the XDG Base Directory Specification; a container's user may have no home that he can write to."""
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return f"{state}/credagent"
    return f"{home}/.local/state/credagent" if home.startswith("/") and may_write(home) else ""


def _belongs_to(folder: str, euid: int) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (0, euid)
