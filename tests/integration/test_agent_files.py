"""The file channel of a running agent: what is renamed into place is seen at once, and nothing is polled for it."""

import os
import shutil
import time
from pathlib import Path

import psutil
import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter

__all__ = ["machine"]

TRIES = 20
IDLE_S = 3.0
IDLE_WAKES = 6  # the slots look at the clock now and then; a poll at 10 Hz would be thirty


def test_each_rename_is_told_to_subscribers_before_the_next(machine: Machine) -> None:
    machine.start()
    with machine.connection() as agent:
        agent.ask("subscribe", role="worker")
        for number in range(TRIES):
            sealed = machine.sealed(letter(variables={"NUMBER": str(number)}))
            machine.put(sealed)
            assert agent.hear()["environment"]["NUMBER"] == str(number)


def test_an_idle_agent_does_not_wake_up_to_look(machine: Machine) -> None:
    """One that has what it needs; a machine without an identity asks for it more often in its first minute."""
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    process = psutil.Process(machine.start().pid)
    time.sleep(0.5)
    before = process.num_ctx_switches().voluntary
    time.sleep(IDLE_S)
    assert process.num_ctx_switches().voluntary - before <= IDLE_WAKES


def test_a_bundle_that_is_there_already_is_in_force_when_the_agent_answers(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    assert machine.value() == CANARY
    assert "DB_TOKEN=" in machine.worker_env.read_text()
    assert machine.worker_env.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("depth", [1, 3])
def test_a_folder_that_appears_later_is_followed(machine: Machine, depth: int) -> None:
    folder = machine.folder.joinpath(*[f"later-{n}" for n in range(depth)])
    machine.configure(bundle={"channels": [f"file:{folder}/bundle", "socket"]})
    machine.start()
    folder.mkdir(parents=True)
    (folder / "arriving").write_text(machine.sealed(letter()))
    (folder / "arriving").rename(folder / "bundle")
    machine.until(lambda: machine.value() == CANARY)


def test_a_folder_that_is_replaced_is_followed_again(machine: Machine) -> None:
    folder = machine.folder / "drop"
    folder.mkdir()
    machine.configure(bundle={"channels": [f"file:{folder}/bundle", "socket"]})
    machine.start()
    folder.rename(machine.folder / "away")
    folder.mkdir()
    (folder / "bundle").write_text(machine.sealed(letter()))
    machine.until(lambda: machine.value() == CANARY)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "bundle").write_text(machine.sealed(letter(variables={"DB_TOKEN": "second"})))
    machine.until(lambda: machine.value() == "second")


def test_a_kubernetes_mount_that_swaps_its_link_is_seen(machine: Machine) -> None:
    mount = machine.folder / "mount"
    for number, value in enumerate(("first", "second")):
        data = mount / f"..data-{number}"
        data.mkdir(parents=True)
        (data / "bundle").write_text(machine.sealed(letter(variables={"DB_TOKEN": value})))
    (mount / "..data").symlink_to("..data-0")
    (mount / "bundle").symlink_to("..data/bundle")
    machine.configure(bundle={"channels": [f"file:{mount}/bundle"]})
    machine.start()
    assert machine.value() == "first"
    (mount / "..data_tmp").symlink_to("..data-1")
    (mount / "..data_tmp").rename(mount / "..data")
    machine.until(lambda: machine.value() == "second")


def test_a_file_that_is_written_in_place_is_not_judged_before_it_is_closed(machine: Machine) -> None:
    machine.start()
    with machine.inbox.open("w") as file:
        time.sleep(0.3)
        file.write(machine.sealed(letter()))
    machine.until(lambda: machine.value() == CANARY)
    assert machine.refusals() == []


def test_content_that_vanishes_changes_nothing(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    machine.inbox.unlink()
    machine.stays(lambda: machine.value() == CANARY)
    shutil.rmtree(machine.inbox.parent)
    machine.stays(lambda: machine.value() == CANARY)
    assert machine.status()["state"] == "ready"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero: has no end


def make_endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 34)


BAD = {
    "empty": (lambda path: path.touch(), None),
    "a fifo": (make_fifo, "file-not-regular"),
    "a folder": (Path.mkdir, "file-not-regular"),
    "a link to nothing": (lambda path: path.symlink_to("/nonexistent/x"), ""),
    "16 GB": (make_endless, "too-large"),
    "random": (lambda path: path.write_bytes(os.urandom(3000)), None),
    "another's": (lambda path: path.write_text("credagent:1:x"), None),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_bundle_is_refused_and_what_was_held_stays(machine: Machine, what: str) -> None:
    make, code = BAD[what]
    machine.put(machine.sealed(letter()))
    machine.start()
    arriving = machine.inbox.with_name("bad")
    make(arriving)
    machine.inbox.unlink()
    os.rename(arriving, machine.inbox)
    if code == "":
        machine.stays(lambda: machine.refusals() == [])
    else:
        refusals = machine.until(machine.refusals)
        assert len(refusals) == 1
        assert code in (None, refusals[0])
        assert machine.status()["state"] == "degraded"
    assert machine.value() == CANARY
    if machine.inbox.is_dir():
        machine.inbox.rmdir()
    machine.put(machine.sealed(letter(variables={"DB_TOKEN": "second"})))
    machine.until(lambda: machine.value() == "second")
    assert machine.status()["state"] == "ready"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_its_place_is_refused_and_not_read(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    make_device(machine.inbox.with_name("bad"))
    machine.inbox.with_name("bad").rename(machine.inbox)
    machine.until(lambda: machine.refusals() == ["file-not-regular"])
    assert machine.value() == CANARY
