"""Machines that are reached by SSH: a network namespace with a real sshd each, on a bridge of this machine."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from tests.deployments.person import Person
from tests.ending import kill_tree
from tests.integration.forwarder.network import ip
from tests.patience import scaled

START_S = 20.0
# The account has no shell to log in with, and its home is the test's: sshd alone sees another /etc/passwd. Each machine
# has a name, a machine-id and a /run of its own, with the folder in it that a login gets there.
SSHD = (
    "hostname {name} && mount --bind {accounts} /etc/passwd && mount --bind {machine_id} /etc/machine-id"
    " && mount -t tmpfs -o mode=755 tmpfs /run"
    " && mkdir -p /run/sshd /run/user && install -d -m 0700 -o {uid} -g {gid} /run/user/{uid}"
    " && exec /usr/sbin/sshd -D -e -f {config}"
)
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
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names:  # what a login has left behind, too
            left = ["ip", "netns", "pids", self._space(name)]
            for pid in subprocess.run(left, check=False, capture_output=True, text=True).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        links = [f"{self._prefix}-{number}" for number, _ in enumerate(self.names)]  # a namespace ends some time later
        for command in [
            *(["link", "delete", link] for link in (*links, self._prefix)),
            *(["netns", "delete", self._space(name)] for name in self.names),
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

    def _build(self) -> None:
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
    uid, running = person.account.pw_uid, []
    given = {**variables, "XDG_RUNTIME_DIR": f"/run/user/{uid}"}
    try:
        for name in network.names:
            config = folder / f"{name}.conf"
            config.write_text(
                CONFIG.format(
                    address=network.address(name),
                    key=folder / "host",
                    authorized=person.home / ".ssh" / "id_ed25519.pub",
                    variables=" ".join(f"{key}={value}" for key, value in given.items()),
                )
            )
            machine_id = folder / f"{name}.machine-id"
            machine_id.write_text(f"{uuid.uuid4().hex}\n")
            about = {"name": name, "machine_id": machine_id, "accounts": accounts, "config": config}
            script = SSHD.format(**about, uid=uid, gid=person.account.pw_gid)
            command = [*network.enter(name), "unshare", "--mount", "--uts", "sh", "-c", script]
            with (folder / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
            _await(folder / f"{name}.log")
        yield
    finally:
        for one in running:
            kill_tree(one)
        print("\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in folder.glob("*.log")))


def ssh(network: Bridge, person: Person, name: str) -> str:
    """Return what precedes a line that the person types on a machine; ssh goes by the account's own home."""
    known, key = person.home / ".ssh" / "known_hosts", person.home / ".ssh" / "id_ed25519"
    return f"ssh -F none -o UserKnownHostsFile={known} -i {key} {person.account.pw_name}@{network.address(name)}"


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
