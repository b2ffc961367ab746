"""Machines that dask-cloudprovider launches: its user data for each cloud, run by Debian's cloud-init at a first boot.

The classes, the templates, cloud-init, systemd, the package and Dask are the real ones. No cloud is asked. Docker is a
program of a few lines, which starts the container's command as a process with the variables that it was given.
"""

import json
import subprocess
from pathlib import Path

import pytest

import credagent
from tests.canary import CANARY
from tests.system import images
from tests.system.acts import in_worker, status
from tests.system.cloud import AUDIENCE, Sender
from tests.system.conftest import Make
from tests.system.launchers import CLOUDS
from tests.system.machine import Machine

SCHEDULER = "tcp://127.0.0.1:8786"
KEY = "/etc/credagent/cluster.key"
DOCKER = """\
#!/usr/bin/python3
import os, sys
run, *words = sys.argv[1:]
variables = {"PATH": "/opt/dask/bin:/usr/bin:/bin", "HOME": "/root"}
while words[0].startswith("-"):
    option = words.pop(0)
    if option == "-e":
        name, _, variables[name] = words.pop(0).partition("=")
    elif option == "--volume":
        folder, inside, mode = words.pop(0).split(":")
        assert os.path.isdir(folder) and inside == folder and mode == "ro", folder
    else:
        assert option == "--net=host", option
image, *command = words
assert run == "run"
os.execvpe(command[0], command, variables)
"""


@pytest.fixture(scope="session")
def bundle(sender: Sender) -> str:
    return sender.seal(sender.recipient()[0])


@pytest.fixture(scope="session")
def user_data(sender: Sender, bundle: str) -> dict[str, str]:
    """What each cloud would be sent for a worker: the page's options, with a key of the launcher and a bundle."""
    options = credagent.cloudprovider_options(
        audience=AUDIENCE, trusted_senders=sender.public_key, recipient_keys=[f"file:{KEY}"], bundle=bundle
    )
    command = [str(images.with_launchers()), str(Path(__file__).with_name("launchers.py")), SCHEDULER]
    done = subprocess.run(command, input=json.dumps(options), capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_machine_that_is_launched_with_these_options_has_the_credentials_in_its_worker(
    make: Make, sender: Sender, bundle: str, user_data: dict[str, str], cloud: str
) -> None:
    machine = make(images.with_cloud_init(images.deb()))
    write(machine, "usr/bin/docker", DOCKER, 0o755)
    write(machine, KEY, sender.recipient()[1].read_text(), 0o400)  # as a baked image has it
    images.in_root(machine.root, "chown", "credagent:", KEY)
    write(machine, "var/lib/cloud/seed/nocloud/meta-data", "instance-id: i-1\nlocal-hostname: node\n", 0o600)
    write(machine, "var/lib/cloud/seed/nocloud/user-data", user_data[cloud], 0o600)
    machine.boot("starting", "running", "degraded")  # its first boot lasts as long as the container
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "8786", "--no-dashboard")
    process = machine.start("/opt/dask/bin/python3", "-m", *scheduler, user="dask")
    try:
        machine.until(lambda: machine.run("pgrep", "-f", "dask_spec", check=False), 120)
        assert in_worker(machine, "__import__('os').environ['DB_TOKEN']") == CANARY
    finally:
        process.kill()
    modes = machine.run(
        "stat", "-c", "%a %U:%G %n", "/etc/credagent", "/etc/credagent/config.toml", "/etc/credagent/bundle"
    )
    assert modes.splitlines() == [
        "755 root:root /etc/credagent",
        "644 root:root /etc/credagent/config.toml",
        "644 root:root /etc/credagent/bundle",
    ]
    assert machine.run("cat", "/etc/credagent/bundle").strip() == bundle.strip()
    document = status(machine)
    assert document["bundle"]["channel"] == "file"
    assert document["slots"]["environment"]["origin"] == "bundle"
    assert "worker" in {worker["role"] for worker in document["workers"]}
    assert machine.property("credagent", "UnitFileState") == "enabled", "it starts again with the machine"


def write(machine: Machine, path: str, text: str, mode: int) -> None:
    """Write a file into a machine that is not booted."""
    file = machine.root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode)
    file.chmod(mode)
    file.write_text(text)
