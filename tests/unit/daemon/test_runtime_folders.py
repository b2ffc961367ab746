"""The locks on the agent's folders: held by one agent, and by nobody else who can only look into them."""

import fcntl
import os
from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.config import Config
from credagent.daemon import runtime_folders
from credagent.errors import Exit, Unavailable
from credagent.handover.unix.agent_place import lock_path
from credagent.system import file_lock


@pytest.fixture
def config(tmp_path: Path) -> Config:
    environ = {f"CREDAGENT_AGENT_{name.upper()}_DIR": str(tmp_path / name) for name in ("runtime", "state")}
    found = configuration.load(None, environ)
    runtime_folders.prepare(found)
    return found


@pytest.mark.parametrize("name", ["runtime_dir", "state_dir"])
def test_who_can_open_the_folder_cannot_hold_the_agent_down(config: Config, name: str) -> None:
    folder = os.open(getattr(config.agent, name), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in runtime_folders.take_locks(config):
            lock.release()
    finally:
        os.close(folder)


def test_a_lock_that_is_held_may_be_free_in_a_moment(config: Config) -> None:
    held = runtime_folders.take_locks(config)
    with pytest.raises(Unavailable) as caught:
        runtime_folders.take_locks(config)
    assert caught.value.exit_code is Exit.UNAVAILABLE
    assert runtime_folders.free_locks(config) is None
    for lock in held:
        lock.release()


def test_a_state_folder_in_use_leaves_the_runtime_folder_free_for_the_next_try(config: Config) -> None:
    with file_lock.lock(lock_path(config.agent.state_dir)) or pytest.fail("it is free"):
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                runtime_folders.take_locks(config)
            assert caught.value.code == "state-in-use"


def test_a_lock_that_is_held_already_is_gone_on_with_and_one_on_a_former_folder_is_let_go(
    config: Config, tmp_path: Path
) -> None:
    path = lock_path(config.agent.runtime_dir)
    held = file_lock.lock(path)
    runtime, state = runtime_folders.take_locks(config, held=held)
    assert runtime is held
    runtime.release()
    state.release()
    former = file_lock.lock(str(tmp_path / "lock"))
    runtime, state = runtime_folders.take_locks(config, held=former)
    assert runtime.is_at(path)
    assert file_lock.lock(str(tmp_path / "lock")) is not None


def test_what_an_agent_left_that_was_killed_is_swept_under_the_lock(config: Config, tmp_path: Path) -> None:
    left = [tmp_path / folder / ".worker.env.0123456789ab.tmp" for folder in ("runtime", "state")]
    for path in left:
        path.write_bytes(b"credentials")
    locks = runtime_folders.take_locks(config)
    assert not any(path.exists() for path in left)
    left[0].write_bytes(b"in the making")
    assert runtime_folders.free_locks(config) is None
    assert left[0].exists()
    for lock in locks:
        lock.release()


def test_a_try_to_hold_new_folders_that_fails_leaves_nothing_in_the_way_of_the_next(config: Config) -> None:
    """Both folders were replaced, and another agent (a `run --once`) holds the second for a moment."""
    held = runtime_folders.take_locks(config)
    for name in ("runtime_dir", "state_dir"):
        folder = Path(getattr(config.agent, name))
        folder.rename(f"{folder}.gone")
    runtime_folders.prepare(config)
    with open(f"{config.agent.state_dir}/lock", "wb") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                runtime_folders.hold_locks(config, held)
            assert caught.value.what == f"{config.agent.state_dir}/lock"
    for lock in runtime_folders.hold_locks(config, held):
        lock.release()


def test_names_are_remembered_once_and_the_earliest_fall_away() -> None:
    assert runtime_folders.with_names(("A", "B"), ["C", "A"]) == ("B", "C", "A")
    names: tuple[str, ...] = ()
    for number in range(300):
        names = runtime_folders.with_names(names, [f"V{number:03}_{place:03}_{'x' * 80}" for place in range(30)])
    assert sum(len(name) + 3 for name in names) <= runtime_folders.NAMES_BYTES
    assert names[-1].startswith("V299_029")
    assert len(names) > 2_500
