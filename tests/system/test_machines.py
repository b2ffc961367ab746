"""The same packages on other machines: older and newer Debians without any Python, and one without dpkg."""

import json
from pathlib import Path

import pytest

from tests import pages
from tests.canary import CANARY
from tests.system import images
from tests.system.acts import deliver, status, variable
from tests.system.cloud import Sender
from tests.system.conftest import Make, configure
from tests.system.machine import Machine

OURS = "/etc /usr /var/lib /run /opt /home"
LEFT = f"find {OURS} -xdev \\( -name '*credagent*' -o -xtype l -lname '*credagent*' \\) 2>/dev/null"


@pytest.mark.parametrize("suite", images.OTHER_SUITES)
def test_the_deb_lives_on_every_debian(make: Make, sender: Sender, suite: str) -> None:
    machine = make(images.plain(suite))
    machine.boot()
    assert machine.run("sh", "-c", "command -v python3", check=False) == ""
    machine.run("useradd", "--system", "--create-home", "dask")
    configure(machine, sender)  # as cloud-init's write_files does, before anything is installed
    apt_install(machine, images.older())
    assert_it_hands_over(machine, sender, images.OLDER)
    kept = machine.run("sha256sum", "/var/lib/credagent/recipient.key")
    apt_install(machine, images.deb())
    machine.until(lambda: machine.property("credagent", "ActiveState") == "active")
    assert status(machine)["agent"]["version"] != images.OLDER
    assert machine.run("sha256sum", "/var/lib/credagent/recipient.key") == kept
    machine.run("dpkg", "--remove", "credagent")
    assert machine.run("sh", "-c", f"{LEFT} -xtype l", check=False) == ""
    assert machine.run("pgrep", "-x", "credagent", check=False) == ""
    apt_install(machine, images.deb())
    machine.run("systemctl", "enable", "--now", "credagent")
    assert variable(machine) == CANARY
    machine.run("dpkg", "--purge", "credagent")
    left = machine.run("sh", "-c", LEFT, check=False).splitlines()
    assert [path for path in left if not path.startswith("/var/lib/dpkg")] == []
    assert machine.run("getent", "passwd", "credagent", check=False) == ""


def test_the_tarball_lives_on_a_machine_without_dpkg(make: Make, sender: Sender) -> None:
    machine = make(images.plain("trixie"))
    images.in_root(machine.root, "sh", "-c", "rm -rf /usr/bin/dpkg* /usr/bin/apt* /var/lib/dpkg /var/lib/apt")
    machine.boot()
    machine.run("useradd", "--system", "--create-home", "dask")
    before = machine.run("sh", "-c", f"find {OURS} -xdev | sort")
    script = unpack(machine, images.older("tarball"))
    machine.run(script)
    configure(machine, sender)
    assert_it_hands_over(machine, sender, images.OLDER)
    machine.run(unpack(machine, images.built()["tarball"]))
    machine.until(lambda: machine.property("credagent", "ActiveState") == "active")
    assert status(machine)["agent"]["version"] != images.OLDER
    machine.until(lambda: variable(machine) == CANARY)
    machine.run(script, "--uninstall")
    assert machine.run("pgrep", "-x", "credagent", check=False) == ""
    assert machine.run("ls", "/var/lib/credagent/recipient.key").strip()
    assert "not by this script" not in machine.run(script, "--uninstall", check=False)
    machine.run(script)
    machine.run(script, "--purge")
    after = machine.run("sh", "-c", f"find {OURS} -xdev | sort").splitlines()
    grown = [path for path in after if path not in before.splitlines() and "journal" not in path]
    assert [path for path in grown if "credagent" in path] == []


def test_the_four_commands_of_the_readme_work_as_they_are_typed(make: Make, sender: Sender) -> None:
    machine = make(images.plain())
    machine.boot()
    machine.run("useradd", "--system", "--create-home", "dask")
    (machine.root / "etc/apt/apt.conf.d/offline").write_text('APT::Install-Recommends "false";\n')
    (machine.root / "root" / images.deb().name).write_bytes(images.deb().read_bytes())
    (machine.root / "root/sender.pub").write_text(sender.public_key + "\n")
    (readme,), (page,) = (pages.run_by(__file__, name) for name in ("README.md", "packaging/README.md"))
    *commands, deliver_it = page.typed
    assert commands == readme.typed
    for command in commands:
        machine.run("sh", "-c", f"cd /root && {command}")
    (machine.root / "root/bundle").write_text(sender.seal(status(machine)["public_key"]))
    machine.run("sh", "-c", f"cd /root && {deliver_it}")
    machine.until(lambda: variable(machine) == CANARY)
    assert machine.run("journalctl", "--unit=credagent", "--priority=warning", "--quiet") == ""
    (machine.root / "root/bundle").write_text("nonsense\n")
    machine.run("sh", "-c", f"cd /root && {deliver_it}", check=False)
    machine.run("sh", "-c", "cp /root/bundle /run/credagent/inbox/bundle")
    machine.until(lambda: "refused" in machine.run("journalctl", "--unit=credagent", "--priority=warning"))
    told = machine.run("journalctl", "--unit=credagent", "--output=json", "CREDAGENT_EVENT=bundle_refused")
    event = json.loads(told.splitlines()[0])
    assert (event["PRIORITY"], event["CREDAGENT_CODE"]) == ("4", "not-an-envelope")


def apt_install(machine: Machine, deb: Path) -> None:
    """Install a package as cloud-init does: by apt, with nobody to answer (and no network for certificates)."""
    (machine.root / "root" / deb.name).write_bytes(deb.read_bytes())
    machine.run("apt-get", "install", "--yes", "--no-install-recommends", f"/root/{deb.name}")


def unpack(machine: Machine, tarball: Path) -> str:
    """Unpack a tarball in the machine's /root and return its script."""
    (machine.root / "root" / tarball.name).write_bytes(tarball.read_bytes())
    machine.run("tar", "-xzf", f"/root/{tarball.name}", "-C", "/root")
    return f"/root/{tarball.name.removesuffix('.tar.gz')}/install.sh"


def assert_it_hands_over(machine: Machine, sender: Sender, version: str) -> None:
    """Start it, deliver, read; nothing is wrong with the machine afterwards."""
    machine.run("systemctl", "enable", "--now", "credagent")
    assert status(machine)["agent"]["version"] == version
    deliver(machine, sender, CANARY)
    machine.until(lambda: variable(machine) == CANARY)
    assert "credagent" not in machine.run("systemctl", "--failed", "--no-legend")
