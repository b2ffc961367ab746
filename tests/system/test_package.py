"""The package's life on a machine: upgrade, removal, purge; and credentials that systemd keeps."""

import subprocess
from pathlib import Path

import pytest

from tests.canary import CANARY
from tests.system import images
from tests.system.acts import deliver, in_worker, start_dask, status, variable
from tests.system.cloud import Cloud, Sender
from tests.system.conftest import Make, configure
from tests.system.machine import WITH_BPF, Machine

OLDER = "0.0.9"
TOKEN = "__import__('os').environ.get('DB_TOKEN')"
PID = "__import__('os').getpid()"
OURS = "/etc /usr /var /run /lib /opt /home /root"

TASK = """
[Service]
Type=oneshot
User=dask
ExecStart=/opt/dask/bin/python3 /srv/read.py
StandardOutput=file:/srv/said
"""

READ_BY_ROLE = """
import boto3, botocore
session = botocore.session.get_session()
found = session.get_credentials()
print("role" if found else "nothing")
"""


def install(machine: Machine, deb: Path) -> None:
    """Install a package as an administrator would."""
    target = machine.root / "root" / deb.name
    target.write_bytes(deb.read_bytes())
    machine.run("dpkg", "--install", f"/root/{deb.name}")


def test_lintian_finds_no_error() -> None:
    command = ["lintian", "--fail-on", "error", "--allow-root", str(images.deb())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_piuparts_finds_no_error() -> None:
    options = ["--distribution=bookworm", "--no-eatmydata", "--skip-logrotatefiles-test", "--no-upgrade-test"]
    command = ["piuparts", f"--existing-chroot={images.plain()}", "--do-not-verify-signatures", *options]
    done = subprocess.run([*command, str(images.deb())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_an_upgrade_keeps_key_bundle_and_marks_and_disturbs_no_worker(make: Make, sender: Sender) -> None:
    machine = make(images.with_dask())
    machine.boot()
    install(machine, images.deb(OLDER))
    configure(machine, sender)
    machine.run("systemctl", "enable", "--now", "credagent")
    deliver(machine, sender, CANARY)
    machine.until(lambda: variable(machine) == CANARY)
    start_dask(machine)
    assert in_worker(machine, TOKEN) == CANARY
    before = status(machine), in_worker(machine, PID), machine.run("sh", "-c", "cat /var/lib/credagent/recipient.key")
    machine.run("rm", "/run/credagent/inbox/bundle")
    install(machine, images.deb())
    machine.until(lambda: machine.property("credagent", "ActiveState") == "active")
    after = status(machine), in_worker(machine, PID), machine.run("sh", "-c", "cat /var/lib/credagent/recipient.key")
    assert after[1:] == before[1:]
    assert after[0]["bundle"]["sequence"] == before[0]["bundle"]["sequence"]
    assert after[0]["agent"]["pid"] != before[0]["agent"]["pid"]
    deliver(machine, sender, "renewed")
    machine.until(lambda: in_worker(machine, TOKEN) == "renewed")


def test_a_purge_leaves_nothing(make: Make, sender: Sender) -> None:
    machine = make(images.with_dask())
    machine.boot()
    machine.run("systemctl", "daemon-reload")
    listing = f"find {OURS} -xdev \\( -name '*credagent*' -o -user credagent \\) 2>/dev/null | grep -v /root/credagent_"
    install(machine, images.deb())
    configure(machine, sender)
    machine.run("systemctl", "enable", "--now", "credagent")
    deliver(machine, sender, CANARY)
    assert "/var/lib/credagent" in machine.run("sh", "-c", listing, check=False)
    machine.run("dpkg", "--purge", "credagent")
    left = machine.run("sh", "-c", f"find {OURS} -xdev -name '*credagent*' 2>/dev/null", check=False).splitlines()
    assert [path for path in left if not path.startswith(("/root/credagent_", "/var/lib/dpkg"))] == []
    assert (
        machine.run(
            "sh", "-c", "getent passwd credagent; systemctl list-unit-files 'credagent*' --no-legend", check=False
        )
        == ""
    )
    assert machine.state() == "running"


def test_a_removal_keeps_what_a_reinstallation_needs(node: Machine, sender: Sender) -> None:
    node.boot()
    node.run("systemctl", "enable", "--now", "credagent")
    deliver(node, sender, CANARY)
    node.until(lambda: variable(node) == CANARY)
    node.run("dpkg", "--remove", "credagent")
    assert node.run("pgrep", "-x", "credagent", check=False) == ""
    install(node, images.deb())
    node.run("systemctl", "enable", "--now", "credagent")
    node.until(lambda: variable(node) == CANARY)


def test_a_key_that_systemd_decrypts_opens_bundles(node: Machine, sender: Sender) -> None:
    public_key, private_key = sender.recipient()
    configure(node, sender, 'recipient_keys = ["credential:node-key"]\n')
    node.boot()
    node.run("mkdir", "-p", "/etc/credstore.encrypted", "/etc/systemd/system/credagent.service.d")
    encrypt = "systemd-creds encrypt --with-key=host --name=node-key - /etc/credstore.encrypted/node-key"
    node.run("sh", "-c", encrypt, given=private_key.read_text())
    load = "[Service]\nLoadCredentialEncrypted=node-key:/etc/credstore.encrypted/node-key\n"
    (node.root / "etc/systemd/system/credagent.service.d/key.conf").write_text(load)
    node.run("systemctl", "daemon-reload")
    node.run("systemctl", "enable", "--now", "credagent")
    node.run("sh", "-c", "cat >/run/credagent/inbox/bundle", given=sender.seal(public_key))
    node.until(lambda: variable(node) == CANARY)
    assert not (node.root / "var/lib/credagent/recipient.key").exists()


@pytest.mark.parametrize(("drop_in", "found"), [("", "role"), ("no-ec2-metadata.conf", "nothing")])
def test_no_library_slips_past_the_agent_where_the_drop_in_denies_it(
    make: Make, sender: Sender, cloud: Cloud, drop_in: str, found: str
) -> None:
    machine = make(images.with_package(images.deb()), *WITH_BPF)
    configure(machine, sender)
    machine.boot()
    (machine.root / "etc/systemd/system/task.service").write_text(TASK)
    (machine.root / "srv/read.py").write_text(READ_BY_ROLE)
    if drop_in:
        machine.run("mkdir", "-p", "/etc/systemd/system/task.service.d")
        machine.run("cp", f"/usr/share/doc/credagent/examples/{drop_in}", "/etc/systemd/system/task.service.d/")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "task")
    assert machine.run("cat", "/srv/said").strip() == found


def test_the_manual_and_the_completions_are_there(running: Machine) -> None:
    assert "COMMAND" in running.run("man", "-P", "cat", "credagent")
    assert "renewal" in running.run("man", "-P", "cat", "credagent-exec")
    assert "trusted_senders" in running.run("man", "-P", "cat", "credagent.toml")
    assert "credagent" in running.run("cat", "/usr/share/bash-completion/completions/credagent")
