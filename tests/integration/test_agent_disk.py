"""A full disk: what was held is still held and handed out, the error is shown, and it passes when there is room."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.canary import CANARY
from tests.integration.agents import Machine, machine, only_message
from tests.integration.letters import letter

__all__ = ["machine"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")

RECOVERY_S = 45.0  # it tries again every half minute


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Give a file system of 64 KiB at `path`, and the path of a file that fills it when asked."""
    path.mkdir(mode=0o700)
    options = "size=64k,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount")
    try:
        yield path / "filling"
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(filling: Path) -> None:
    """Write until there is no room."""
    with pytest.raises(OSError), filling.open("wb", buffering=0) as file:  # noqa: PT012  whichever write is the last
        while True:
            file.write(b"\0" * 1024)


def test_a_bundle_that_cannot_be_kept_is_refused_and_taken_when_there_is_room(machine: Machine) -> None:
    with small_disk(machine.state_dir) as filling:
        machine.put(machine.sealed(letter()))
        machine.start()
        fill(filling)
        second = machine.sealed(letter(variables={"DB_TOKEN": "second"}))
        answer = machine.ask("deliver", bundle=second)
        assert (answer["ok"], answer["code"]) == (False, "not-written")
        assert "free some space" in answer["hint"]
        machine.put(second)
        machine.until(lambda: machine.status()["state"] == "degraded")
        assert "not-written" in machine.refusals()
        assert machine.value() == CANARY
        filling.unlink()
        machine.until(lambda: machine.value() == "second", RECOVERY_S)
        assert machine.status()["state"] == "ready"
        machine.kill()
        machine.start()
        assert machine.value() == "second"
        machine.stop()


def test_workers_that_ask_are_supplied_though_worker_env_cannot_be_written(machine: Machine) -> None:
    with small_disk(machine.run_dir) as filling:
        machine.put(machine.sealed(letter()))
        machine.start()
        fill(filling)
        assert machine.ask("deliver", bundle=machine.sealed(letter(variables={"DB_TOKEN": "second"})))["ok"]
        assert machine.value() == "second"
        assert CANARY in machine.worker_env.read_text()  # whole, if old
        assert machine.status()["state"] == "degraded"
        assert machine.events("handover_not_written")
        filling.unlink()
        machine.until(lambda: machine.status()["state"] == "ready", RECOVERY_S)
        assert "second" in machine.worker_env.read_text()
        assert not list(machine.run_dir.glob(".*.tmp"))
        machine.stop()


def test_an_agent_starts_with_what_was_kept_though_the_disk_is_full(machine: Machine) -> None:
    with small_disk(machine.state_dir) as filling:
        machine.put(machine.sealed(letter()))
        machine.start()
        machine.stop()
        fill(filling)
        machine.start()
        assert machine.value() == CANARY
        machine.stop()


def test_a_key_that_cannot_be_made_is_one_line_and_73(machine: Machine) -> None:
    machine.configure(bundle={"recipient_keys": ["state"]})
    with small_disk(machine.state_dir) as filling:
        fill(filling)
        done = machine.run("run", "--config", str(machine.config))
        assert done.returncode == 73
        first, hint = only_message(done)
        assert "recipient.key" in first
        assert "no space left" in first
        assert "free some space" in hint
        assert {path.name for path in machine.state_dir.iterdir()} == {"filling", "lock"}
