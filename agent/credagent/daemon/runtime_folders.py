"""The agent's folders and what lies in them besides keys and bundles: the lock, and what a restart must remember."""

import os
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from credagent.config import Config
from credagent.config.channel_grammar import FileChannelSpec
from credagent.errors import CredagentError, Unavailable
from credagent.handover.unix.agent_place import lock_path
from credagent.system import file_lock
from credagent.system.file_lock import Lock
from credagent.system.file_reading import read_bounded
from credagent.system.file_writing import remove_leftovers, write_private
from credagent.system.private_folder import make_private_folder

RUNTIME_MODE = 0o751  # workers must reach the socket; they need not list what else is there
LIMIT_BYTES = 1024 * 1024
NAMES_BYTES = 256 * 1024  # of remembered names: more than two of the largest bundles have, and a quarter of the limit


class Remembered(Struct, frozen=True, kw_only=True):
    """What living workers have seen of earlier agents on this machine since it booted.

    `generation`, `digest`: of the last set, and of what was in it. `names`: the custom variables that were handed out,
    to be overwritten when they are withdrawn (`with_names`). `env_file`: where worker.env was written, to be removed
    when it is written elsewhere.
    """

    generation: int = 0
    digest: str = ""
    names: tuple[str, ...] = ()
    env_file: str = ""


def prepare(config: Config) -> None:
    """Make the folders where missing, and refuse ones that somebody else could change."""
    runtime_dir, *others = folders(config)
    make_private_folder(runtime_dir, RUNTIME_MODE)
    for folder in others:
        make_private_folder(folder, 0o700)


def take_locks(config: Config, owner: bytes = b"", held: Lock | None = None) -> tuple[Lock, Lock]:
    """Return the daemon's locks on both folders; `owner` is noted in the one on the runtime folder.

    `held` is that one where this process has it already.

    Raises Unavailable where another daemon holds one: it may be a `run --once` that ends in a moment, so a service
    manager shall try again.
    """
    runtime_dir, state_dir = config.agent.runtime_dir, config.agent.state_dir
    if held is not None and not held.is_at(lock_path(runtime_dir)):
        held.release()
        held = None
    runtime = held or file_lock.lock(lock_path(runtime_dir), note=owner)
    if runtime is None:
        hint = "stop it, or give this one a runtime_dir and a state_dir of its own"
        raise Unavailable("already-running", "an agent runs already", what=runtime_dir, hint=hint)
    state = file_lock.lock(lock_path(state_dir))
    if state is None:
        runtime.release()
        # Two agents that keep their marks in one file lose each other's, and replayed bundles come in.
        hint = "stop it, or give this one a state_dir of its own (agent.state_dir)"
        raise Unavailable("state-in-use", "another agent uses it", what=state_dir, hint=hint)
    _sweep(config)
    return runtime, state


def hold_locks(config: Config, held: tuple[Lock, ...]) -> tuple[Lock, ...]:
    """Return the locks on the folders that are there now: those that are `held`, and new ones where a folder is new.

    Raises Unavailable where another daemon was faster; then those that were held stay.
    """
    paths = [lock_path(folder) for folder in (config.agent.runtime_dir, config.agent.state_dir)]
    now: list[Lock] = []
    try:
        for lock, path in zip(held, paths, strict=True):
            new = lock if lock.is_at(path) else file_lock.lock(path, note=lock.note)
            if new is None:
                hint = "stop it, or give this one a runtime_dir and a state_dir of its own"
                raise Unavailable("already-running", "another agent runs there by now", what=path, hint=hint)
            now.append(new)
    except CredagentError:
        _release_all_but(held, now)  # else the next try would find this very process in its way
        raise
    _release_all_but(now, held)
    return tuple(now)


def _release_all_but(kept: Iterable[Lock], locks: Iterable[Lock]) -> None:
    for lock in locks:
        if lock not in kept:
            lock.release()


def folders(config: Config) -> tuple[str, ...]:
    """Return the folders that are this agent's to make and to keep."""
    return (config.agent.runtime_dir, config.agent.state_dir, *_inboxes(config))


def free_locks(config: Config) -> tuple[Lock, Lock] | None:
    """Return both locks, None where a daemon holds one."""
    runtime = file_lock.lock(lock_path(config.agent.runtime_dir))
    if runtime is None:
        return None
    state = file_lock.lock(lock_path(config.agent.state_dir))
    if state is None:
        runtime.release()
        return None
    _sweep(config)
    return runtime, state


def recall(config: Config) -> Remembered:
    """Return what earlier agents handed out; nothing where that cannot be read (then workers get all as new)."""
    try:
        data = read_bounded(_memory_path(config), LIMIT_BYTES)
        return Remembered() if data is None else msgspec.json.decode(data, type=Remembered)
    except (CredagentError, msgspec.MsgspecError):
        return Remembered()


def with_names(remembered: tuple[str, ...], handed_out: Iterable[str]) -> tuple[str, ...]:
    """Return the remembered names with those that are handed out now, the latest last.

    The earliest fall away beyond NAMES_BYTES: whoever may deliver could fill the memory with ever new ones.
    """
    latest = dict.fromkeys(handed_out)
    names = (*(name for name in remembered if name not in latest), *latest)
    size = 0
    for place, name in enumerate(reversed(names)):
        size += len(name.encode()) + 3  # quotes and a comma
        if size > NAMES_BYTES:
            return names[len(names) - place :]
    return names


def remember(config: Config, remembered: Remembered) -> None:
    """Keep what was handed out for the next agent of this boot, after which no worker lives. Raises OutputError."""
    write_private(_memory_path(config), msgspec.json.encode(remembered), of_this_boot=True)


def _sweep(config: Config) -> None:
    """Remove what an agent that was killed had half written: such a file may hold credentials."""
    for folder in (config.agent.runtime_dir, config.agent.state_dir):
        remove_leftovers(folder)
    env_file = config.workers.env_file
    if env_file:
        remove_leftovers(os.path.dirname(env_file) or ".", os.path.basename(env_file))


def _memory_path(config: Config) -> str:
    return f"{config.agent.runtime_dir}/handed-out.json"


def _inboxes(config: Config) -> Iterable[str]:
    """Return the folders of file channels that lie below `runtime_dir`; other folders are their owner's to make."""
    below = os.path.join(config.agent.runtime_dir, "")
    for channel in config.bundle.channels:
        if isinstance(channel, FileChannelSpec) and channel.path.startswith(below):
            yield os.path.dirname(channel.path)
