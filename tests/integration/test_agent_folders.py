"""The agent's folders are taken away under it: removed, replaced, closed, unmounted. All of it comes back by itself."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.credentials import Statement
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine"]


def served(machine: Machine) -> None:
    """Start an agent that serves an endpoint, a file channel and an environment file, with a key of its own."""
    machine.configure(aws={"handover": "endpoint"}, bundle={"recipient_keys": ["state", f"file:{machine.key}"]})
    machine.start()
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, variables={"DB_TOKEN": "before"})))
    machine.until(lambda: machine.value() == "before")
    machine.until(lambda: all_works(machine))


def all_works(machine: Machine, root: str = "") -> bool:
    """Tell whether socket, environment file and endpoint give what they should; `root` leads to the agent's view."""
    view = Path(f"{root}{machine.run_dir}")
    try:
        environment = dict(line.split("=", 1) for line in (view / "worker.env").read_text().splitlines() if "=" in line)
        uri = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].strip('"')
        token = (view / "token").read_text()
    except (OSError, KeyError):
        return False
    request = urllib.request.Request(uri, headers={"Authorization": token})  # noqa: S310  its own endpoint
    with urllib.request.urlopen(request, timeout=scaled(30)) as answer:  # noqa: S310  its own endpoint
        return bool(json.loads(answer.read())["AccessKeyId"])


def takes_what_the_file_brings(machine: Machine, root: str = "") -> None:
    """Put a newer bundle into the inbox that the agent has made, and see that it is taken up."""
    inbox = Path(f"{root}{machine.inbox}")
    machine.until(inbox.parent.is_dir)
    arriving = inbox.with_name("arriving")
    arriving.write_text(machine.sealed(letter(aws=Statement.GRANTED, variables={"DB_TOKEN": "after"})))
    arriving.rename(inbox)
    view = Path(f"{root}{machine.worker_env}")
    machine.until(lambda: view.exists() and "after" in view.read_text())


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def replaced(folder: Path) -> None:
    folder.rename(folder.with_name("moved-away"))
    folder.mkdir(0o700)


def emptied(folder: Path) -> None:
    for name in ("token", "worker.env"):
        (folder / name).unlink()


@pytest.mark.parametrize("how", [removed, replaced, emptied])
def test_all_that_lives_in_the_runtime_folder_comes_back(machine: Machine, how: Callable[[Path], None]) -> None:
    served(machine)
    token, owner = ((machine.run_dir / name).read_text() for name in ("token", "lock"))
    how(machine.run_dir)
    machine.until(lambda: machine.events("folders_restored"))
    assert all_works(machine)
    assert (machine.run_dir / "token").read_text() == token  # workers were told it
    assert (machine.run_dir / "lock").read_text() == owner == "run"  # what exec looks at
    assert machine.run_dir.stat().st_mode & 0o777 == 0o751
    takes_what_the_file_brings(machine)
    assert machine.status()["problems"] == []
    assert machine.run("run", "--config", str(machine.config)).returncode == 69  # it still holds the lock
    assert machine.stop() == 0


def test_an_inbox_that_is_removed_is_made_again_and_heard(machine: Machine) -> None:
    served(machine)
    shutil.rmtree(machine.inbox.parent)
    takes_what_the_file_brings(machine)


def test_a_runtime_folder_that_was_closed_is_opened_to_workers_again(machine: Machine) -> None:
    served(machine)
    machine.run_dir.chmod(0o700)
    machine.until(lambda: machine.run_dir.stat().st_mode & 0o777 == 0o751)
    machine.until(lambda: machine.events("folders_restored"))


@pytest.mark.parametrize("how", [removed, replaced])
def test_a_state_folder_that_is_taken_away_holds_key_and_bundle_again(
    machine: Machine, how: Callable[[Path], None]
) -> None:
    served(machine)
    key, public = machine.state_dir / "recipient.key", machine.ask("identity")["public_key"]
    before = key.read_bytes()
    how(machine.state_dir)
    machine.until(lambda: key.exists() and (machine.state_dir / "in-force.json").exists())
    assert key.read_bytes() == before
    assert machine.stop() == 0
    machine.inbox.unlink()
    machine.start()
    assert (machine.value(), machine.ask("identity")["public_key"]) == ("before", public)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_a_runtime_folder_whose_file_system_is_unmounted_comes_back_below(machine: Machine) -> None:
    """What a logout does to XDG_RUNTIME_DIR. The mount is lazy, as systemd's is: files in it are still open."""
    machine.run_dir.mkdir(0o751)
    mounted = f"mount -t tmpfs -o mode=0751 credagent-test {machine.run_dir}"
    machine.program = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        f'{mounted} && exec "$@"',
        "sh",
        *machine.program,
    ]
    machine.configure(aws={"handover": "endpoint"})
    agent = machine.launch("run", "--config", str(machine.config))
    root = f"/proc/{agent.pid}/root"
    inbox = Path(f"{root}{machine.inbox}")
    machine.until(inbox.parent.is_dir)
    inbox.write_text(machine.sealed(letter(aws=Statement.GRANTED, variables={"DB_TOKEN": "before"})))
    machine.until(lambda: all_works(machine, root))
    subprocess.run(["nsenter", f"--target={agent.pid}", "--mount", "umount", "-l", str(machine.run_dir)], check=True)
    machine.until(lambda: all_works(machine, root))
    takes_what_the_file_brings(machine, root)
    assert machine.events("folders_restored")
    assert machine.socket.exists()  # below the mount the folder is the one that all see
    agent.terminate()
    assert agent.wait(60) == 0
