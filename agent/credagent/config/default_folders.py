"""Which folders a machine uses that names none, and where a client finds the agent. Nothing is made or opened here."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from credagent.config.channel_grammar import DEFAULT_RUNTIME_DIR, SOCKET_NAME
from credagent.config.sections import DEFAULT_STATE_DIR, Config
from credagent.config.values import Folders
from credagent.configuration_file import own_folder
from credagent.system.private_folder import judge_others_folder

SOCKET_VARIABLE = "CREDAGENT_SOCKET"
SYSTEM_TRUST_FILE = "/etc/credagent/trusted-senders"
SYSTEM_FOLDER = DEFAULT_RUNTIME_DIR
BINDING_FILE = "recipient.machine"  # in a state folder: which machine its key was made for
_MACHINE_DIGITS = 16


def default_folders(
    environ: Mapping[str, str], euid: int, may_write: Callable[[str], bool], machine: Callable[[], str]
) -> Folders:
    """Return the system's folders, or for an ordinary user who may not write them folders of his own.

    `machine` returns what tells this machine from others that share a home, "" where nothing does.
    """
    if euid == 0:
        return Folders(SYSTEM_FOLDER, DEFAULT_STATE_DIR)
    *own, system = runtime_folders(environ, euid)
    runtime_dir = next((folder for folder in (system, *own) if may_write(folder)), own[-1] if own else system)
    if may_write(DEFAULT_STATE_DIR):
        return Folders(runtime_dir, DEFAULT_STATE_DIR)
    return Folders(runtime_dir, _own_state_dir(environ, may_write, machine) or f"{runtime_dir}/state")


def runtime_folders(environ: Mapping[str, str], euid: int) -> list[str]:
    """Return where an agent that was told no folder may be: the one list, which the worker's side has."""
    if euid == 0:
        return [SYSTEM_FOLDER]
    from credagent.worker.credagent_worker import runtime_folders as of_an_ordinary_user  # noqa: PLC0415  the machine's agent starts without it

    return of_an_ordinary_user(environ, euid)


def trust_file(environ: Mapping[str, str], euid: int) -> str:
    """Return the file in which `credagent trust` keeps this machine's senders (root), else this user's; "" for none."""
    if euid == 0:
        return SYSTEM_TRUST_FILE
    folder = own_folder(environ)
    return f"{folder}/trusted-senders" if folder else ""


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
    """Return where a client looks for the running agent, the likeliest first: where the worker's side looks too.

    An ordinary user who runs no agent of his own asks the machine's. Raises PermissionRefused for a configured folder
    that a stranger could put in place: who listens there could answer with credentials of his choice.
    """
    if named := environ.get(SOCKET_VARIABLE):
        return (named,)
    configured = "agent.runtime_dir" in config.origins
    if configured:
        judge_others_folder(config.agent.runtime_dir)
    folders = [config.agent.runtime_dir] if configured else runtime_folders(environ, euid)
    return tuple(f"{folder}/{SOCKET_NAME}" for folder in folders)


def _own_state_dir(environ: Mapping[str, str], may_write: Callable[[str], bool], machine: Callable[[], str]) -> str:
    """Follow the XDG Base Directory Specification; a container's user may have no home that he can write to."""
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return _of_this_machine(f"{state}/credagent", machine())
    if not home.startswith("/") or not may_write(home):
        return ""
    return _of_this_machine(f"{home}/.local/state/credagent", machine())


def _of_this_machine(folder: str, fingerprint: str) -> str:
    """Return the folder of this machine below one that several machines may share: a home on a file server.

    A key that an earlier release made for this machine in `folder` itself goes on to be used there.
    """
    with suppress(OSError), open(f"{folder}/{BINDING_FILE}", encoding="ascii", errors="replace") as binding:
        if binding.readline(len(fingerprint) + 1).strip() == fingerprint:
            return folder
    return f"{folder}/{fingerprint[:_MACHINE_DIGITS]}" if fingerprint else folder
