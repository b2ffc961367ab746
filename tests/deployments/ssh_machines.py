"""Machines that are reached by SSH: a network namespace with a real sshd each, on a bridge of this machine."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from tests.deployments.person import Person
from tests.ending import kill_tree
from tests.integration.forwarder.network import ip
from tests.patience import scaled

START_S = 20.0
# The account has no shell to log in with, and its home is the test's: sshd alone sees another /etc/passwd.
SSHD = "mount --bind {accounts} /etc/passwd && mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f {config}"
CONFIG = """\
Port 22
ListenAddress {address}
HostKey {key}
AuthorizedKeysFile {authorized}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
SetEnv {variables}
"""

NET = "10.213.9"


class Bridge:
    """A bridge at .1 of this machine's own network, and for each name a namespace, in their order at .2 and on."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self._prefix = f"cd{os.getpid() % 100_000}"
        self.own_address = f"{NET}.1"

    def __enter__(self) -> Self:
        ip("link", "add", self._prefix, "type", "bridge")
        ip("addr", "add", f"{self.own_address}/24", "dev", self._prefix)
        ip("link", "set", self._prefix, "up")
        for number, name in enumerate(self.names):
            space = self._space(name)
            ip("netns", "add", space)
            outer = f"{self._prefix}-{number}"
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", self._prefix, "up")
            ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "route", "add", "default", "via", self.own_address)
        return self

    def __exit__(self, *_: object) -> None:
        for command in [["netns", "delete", self._space(name)] for name in self.names] + [
            ["link", "delete", self._prefix]
        ]:
            subprocess.run(["ip", *command], check=False, capture_output=True)

    def also_has(self, address: str) -> None:
        """Let this machine be found at another address, too."""
        ip("addr", "add", f"{address}/32", "dev", self._prefix)

    def address(self, name: str) -> str:
        """Return where a machine is."""
        return f"{NET}.{self.names.index(name) + 2}"

    def enter(self, name: str) -> list[str]:
        """Return what precedes a command that runs on a machine."""
        return ["ip", "netns", "exec", self._space(name)]

    def _space(self, name: str) -> str:
        return f"{self._prefix}-{name}"


@contextlib.contextmanager
def ssh_machines(network: Bridge, person: Person, folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run an sshd on each machine, to whom the person's key is enough; his ssh finds them by name."""
    _key(folder / "host")
    _key(person.home / ".ssh" / "id_ed25519", person)
    accounts = folder / "passwd"
    accounts.write_text(_accounts(person))
    known = (folder / "host.pub").read_text()
    lines = [f"Host {name}\n  HostName {network.address(name)}\n" for name in network.names]
    person.write(".ssh/config", "".join(lines))
    person.write(".ssh/known_hosts", "".join(f"{network.address(name)},{name} {known}" for name in network.names))
    running = []
    try:
        for name in network.names:
            config = folder / f"{name}.conf"
            config.write_text(
                CONFIG.format(
                    address=network.address(name),
                    key=folder / "host",
                    authorized=person.home / ".ssh" / "id_ed25519.pub",
                    variables=" ".join(f"{key}={value}" for key, value in variables.items()),
                )
            )
            script = SSHD.format(accounts=accounts, config=config)
            command = [*network.enter(name), "unshare", "--mount", "sh", "-c", script]
            with (folder / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
            _await(folder / f"{name}.log")
        yield
    finally:
        for one in running:
            kill_tree(one)
        print("\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in folder.glob("*.log")))


def _await(log: Path) -> None:
    give_up = time.monotonic() + scaled(START_S)
    while "Server listening" not in log.read_text():
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)


def _key(path: Path, owner: Person | None = None) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    if owner is not None:
        for one in (path.parent, path, path.with_suffix(".pub")):
            owner.own(one)


def _accounts(person: Person) -> str:
    lines = Path("/etc/passwd").read_text().splitlines()
    name, uid, gid = person.account.pw_name, person.account.pw_uid, person.account.pw_gid
    others = [line for line in lines if not line.startswith(f"{name}:")]
    return "\n".join([*others, f"{name}:x:{uid}:{gid}::{person.home}:/bin/bash", ""])
