"""The package's life on a machine: upgrade, removal, purge; and credentials that systemd keeps."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.canary import CANARY
from tests.system import images
from tests.system.acts import deliver, in_worker, start_dask, status, variable
from tests.system.cloud import Cloud, Sender
from tests.system.conftest import Make, configure
from tests.system.machine import WITH_BPF, Machine

TOKEN = "__import__('os').environ.get('DB_TOKEN')"
PID = "__import__('os').getpid()"
KEPT = "cd /var/lib/credagent && find . -printf '%p %m %U %G\\n' | sort && find . -type f | sort | xargs sha256sum"
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


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _dated(packages: dict[str, Path]) -> str:
    """Return the date for which the packages were built: that of the .deb's first member (ar's header)."""
    deb = next(path for name, path in packages.items() if name.endswith(".deb"))
    return deb.read_bytes()[24:36].decode().strip()


def test_the_unit_scores_below_1_3_before_it_is_installed() -> None:
    _output(
        "systemd-analyze", "security", "--offline=true", "--threshold=13", f"{images.ROOT}/systemd/credagent.service"
    )


def test_lintian_finds_no_error() -> None:
    command = ["lintian", "--fail-on", "error", "--allow-root", str(images.deb())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_piuparts_finds_no_error() -> None:
    options = ["--distribution=bookworm", "--no-eatmydata", "--skip-logrotatefiles-test", "--no-upgrade-test"]
    command = ["piuparts", f"--existing-chroot={images.plain()}", "--do-not-verify-signatures", *options]
    done = subprocess.run([*command, str(images.deb())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_an_index_would_take_wheels_and_sdists() -> None:
    dist = images.built()["wheel"].parent
    sources = [path for path in dist.glob("*.tar.gz") if "-linux-" not in path.name]  # that one is for machines
    _output(sys.executable, "-m", "twine", "check", "--strict", *map(str, [*dist.glob("*.whl"), *sources]))


def test_what_the_package_carries_is_listed_and_has_its_licence() -> None:
    images.built()
    doc = images.ROOT / "build/tree/usr/share/doc/credagent"
    document = json.loads((doc / "sbom.cdx.json").read_text())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    carried = {f"{part['name']} {part['version']}" for part in document["components"]}
    assert carried == set((doc / "vendored.txt").read_text().splitlines())
    assert "unknown" not in str(document)
    library = images.ROOT / "build/tree/usr/lib/credagent/lib/python3.13"
    texts = {path.parent.name.partition("-")[0] for path in library.glob("*.dist-info/*LICEN[SC]E*") if path.is_file()}
    texts |= {path.name.partition("-")[0] for path in library.glob("*.dist-info") if (path / "licenses").is_dir()}
    linked = {path.name for path in (doc / "licences").iterdir() if path.stat().st_size}
    assert {part["name"].replace("-", "_") for part in document["components"]} - texts == linked


def test_two_builds_of_the_same_source_are_the_same_to_the_byte(tmp_path: Path) -> None:
    here = {path.name: path for path in images.built()["deb"].parent.iterdir() if path.suffix != ".tar"}
    elsewhere = tmp_path / "elsewhere" / "of another name"
    elsewhere.mkdir(parents=True)
    copy = "git ls-files -co --exclude-standard -z | tar --create --null --files-from - | tar --extract --directory"
    subprocess.run(["sh", "-c", f"{copy} '{elsewhere}'"], cwd=images.ROOT, check=True)
    # The interpreter is the same: compiling it takes minutes, always in the same folder and language.
    interpreter = elsewhere / "build" / "interpreter"
    interpreter.mkdir(parents=True)
    (interpreter / "plain").symlink_to(images.ROOT / "build" / "interpreter" / "plain")
    strange = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "HOME": str(tmp_path), "SOURCE_DATE_EPOCH": _dated(here)}
    build = ["sh", "-c", "umask 027; exec packaging/build wheel worker deb rpm tarball"]
    subprocess.run(build, cwd=elsewhere, env=os.environ | strange, check=True, stdout=subprocess.DEVNULL)
    there = {path.name: path for path in (elsewhere / "dist").iterdir() if path.name != "SHA256SUMS"}
    assert len(there) == 8
    sums = dict(line.split()[::-1] for line in (elsewhere / "dist" / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: _digest(path) for name, path in there.items()}
    assert {name: _digest(path) for name, path in there.items()} == {name: _digest(here[name]) for name in there}


def test_an_upgrade_keeps_key_bundle_and_marks_and_disturbs_no_worker(make: Make, sender: Sender) -> None:
    machine = make(images.with_dask())
    machine.boot()
    install(machine, images.older())
    configure(machine, sender)
    machine.run("systemctl", "enable", "--now", "credagent")
    deliver(machine, sender, CANARY)
    machine.until(lambda: variable(machine) == CANARY)
    start_dask(machine)
    assert in_worker(machine, TOKEN) == CANARY
    before, pid, kept = status(machine), in_worker(machine, PID), machine.run("sh", "-c", KEPT)
    assert before["agent"]["version"] == images.OLDER
    assert "recipient.key" in kept
    machine.run("rm", "/run/credagent/inbox/bundle")
    install(machine, images.deb())
    machine.until(lambda: machine.property("credagent", "ActiveState") == "active")
    after = status(machine)
    assert machine.run("sh", "-c", KEPT) == kept
    assert after["agent"]["version"] != images.OLDER
    assert after["agent"]["pid"] != before["agent"]["pid"]
    assert after["bundle"]["sequence"] == before["bundle"]["sequence"]
    assert in_worker(machine, PID) == pid
    deliver(machine, sender, "renewed")
    machine.until(lambda: in_worker(machine, TOKEN) == "renewed")


def test_an_rpm_brings_the_same_agent(make: Make, sender: Sender) -> None:
    rpm = images.built()["rpm"]
    listed = _output("rpm", "--query", "--list", "--package", str(rpm)).replace("site-functions", "vendor-completions")
    packed = {line.split()[5].lstrip(".") for line in _output("dpkg-deb", "--contents", str(images.deb())).splitlines()}
    ours = set(listed.splitlines())
    only_in_deb = ("/usr/share/lintian", "/usr/share/doc/credagent/changelog", "/usr/share/doc/credagent/copyright")
    assert {path for path in packed if not path.endswith("/")} - ours == {
        path for path in packed if path.startswith(only_in_deb) and not path.endswith("/")
    }
    machine = make(images.with_dask())
    into = ("rpm", "--root", str(machine.root))
    _output(*into, "--install", "--nodeps", str(rpm))  # what it needs is there, and known to another package manager
    configure(machine, sender)
    mine = (machine.root / "etc/credagent/config.toml").read_text()
    _output(*into, "--upgrade", "--nodeps", "--force", str(rpm))
    assert (machine.root / "etc/credagent/config.toml").read_text() == mine
    machine.boot()
    machine.run("systemctl", "enable", "--now", "credagent")
    deliver(machine, sender, CANARY)
    machine.until(lambda: variable(machine) == CANARY)
    machine.stop()
    _output(*into, "--erase", "credagent")
    assert not (machine.root / "usr/lib/credagent").exists()
    assert (machine.root / "var/lib/credagent/recipient.key").exists()


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
    commands = re.findall(r"^  ([a-z-]+)  ", running.run("credagent", "--help"), re.MULTILINE)
    assert {"run", "exec", "rotate-key"} <= set(commands)
    pages = running.run("ls", "/usr/share/man/man1").split()
    completed = running.run("grep", "-m1", "subparsers=(", "/usr/share/bash-completion/completions/credagent")
    for command in commands:
        assert f"credagent-{command}.1.gz" in pages
        assert command in re.findall(r"[\w-]+", completed)
    assert "renewal" in running.run("man", "-P", "cat", "credagent-exec")
    assert "trusted_senders" in running.run("man", "-P", "cat", "credagent.toml")
    assert "credagent" in running.run("cat", "/usr/share/bash-completion/completions/credagent")
