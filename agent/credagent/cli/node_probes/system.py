"""What the system around the agent shows: systemd's units, ports, other agents, inotify, and containers' networks."""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from credagent.cli.node_probes import processes
from credagent.cli.node_probes.agent_answers import listens
from credagent.cli.node_probes.paths import table
from credagent.config import Address
from credagent.config.default_folders import SYSTEM_FOLDER
from credagent.operations.doctor.facts import ContainerFacts, OtherAgent, PortHolder, UnitFacts
from credagent.operations.doctor.remedies import INTERCEPTION, SERVICE, SOCKET

SYSTEMD = "/run/systemd/system"  # sd_booted(3)
UNIT_S, CONTAINER_S = 2.0, 2.0  # doctor goes on without those that are late
PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,MainPID,Result"
LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp: proc_pid_net(5)
MOST_CONTAINERS = 8  # asked beside each other
LOGIN_FOLDERS = "/run/user"  # pam_systemd(8)

METADATA_QUESTION = """
import socket, sys
with socket.create_connection(("169.254.169.254", 80), 0.6) as asked:
    asked.settimeout(0.6)
    asked.sendall(b"PUT /latest/api/token HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nContent-Length: 0\\r\\n"
                  b"X-aws-ec2-metadata-token-ttl-seconds: 1\\r\\nConnection: close\\r\\n\\r\\n")
    sys.exit(0 if asked.recv(16).startswith(b"HTTP/1.1 200") else 1)
"""
"""Whether a session token arrives, which a hop limit prevents; it is not read, and ends after a second."""


def units() -> dict[str, UnitFacts]:
    """Return the units of this project as systemd has them; none where systemd does not run this machine."""
    if not os.path.isdir(SYSTEMD):
        return {}
    command = ["systemctl", "show", "--property", PROPERTIES, "--", SERVICE, SOCKET, INTERCEPTION]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=UNIT_S, check=False)  # noqa: S603  fixed words
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return units_in(done.stdout)


def units_in(shown: str) -> dict[str, UnitFacts]:
    """Return the units in what `systemctl show` printed; those that are not installed are left out."""
    found = {}
    for paragraph in shown.strip().split("\n\n"):
        given = dict(line.split("=", 1) for line in paragraph.splitlines() if "=" in line)
        if given.get("Id") and given.get("LoadState") != "not-found":
            found[given["Id"]] = UnitFacts(
                load=given.get("LoadState", ""),
                active=given.get("ActiveState", ""),
                enabled=given.get("UnitFileState", ""),
                main_pid=int(given.get("MainPID") or 0),
                result=given.get("Result", ""),
            )
    return found


def port_holders(listen: Iterable[Address], ours: Iterable[int]) -> tuple[PortHolder, ...]:
    """Return who listens on the addresses, without the agent itself and systemd, which holds them for it."""
    wanted = {(address.host, address.port): address for address in listen if address.port}
    held: dict[str, tuple[Address, int]] = {}
    for line in (*table("/proc/net/tcp")[1:], *table("/proc/net/tcp6")[1:]):
        _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
        place = _place(local)
        if state == LISTENING and place in wanted:
            held[inode] = (wanted[place], int(uid))
    if not held:
        return ()
    owners = _owners_of_sockets(frozenset(held))
    mine = {1, *ours}
    found = []
    for inode, (address, owner) in held.items():
        pids = owners.get(inode, set())
        if pids & mine:
            continue
        pid = min(pids, default=0)
        words = processes.command_line(pid) if pid else []
        user = processes.user_names([owner]).get(owner, str(owner))
        found.append(PortHolder(address=str(address), user=user, pid=pid, name=os.path.basename((words or [""])[0])))
    return tuple(sorted(found, key=lambda one: one.address))


def _place(local: str) -> tuple[str, int]:
    address, _, port = local.partition(":")
    words = struct.pack(f"={len(address) // 8}I", *(int(address[at : at + 8], 16) for at in range(0, len(address), 8)))
    return str(ip_address(words)), int(port, 16)


def _owners_of_sockets(inodes: frozenset[str]) -> dict[str, set[int]]:
    """Return the processes that have each of the sockets open, as far as this user may see."""
    found: dict[str, set[int]] = {}
    for pid in processes.running():
        for link in _descriptors(pid):
            if link.startswith("socket:[") and link[8:-1] in inodes:
                found.setdefault(link[8:-1], set()).add(pid)
    return found


def _descriptors(pid: int) -> list[str]:
    links = []
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    for name in names:
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue  # closed meanwhile
    return links


def watches_files(agent_pid: int) -> bool | None:
    """Tell whether the agent has an inotify instance; None where that cannot be seen (root sees it)."""
    links = _descriptors(agent_pid) if agent_pid else []
    return any("inotify" in link for link in links) if links else None


def other_agents(
    users: Mapping[int, str], *, asked: str, asked_pid: int, login_folders: str = LOGIN_FOLDERS
) -> tuple[OtherAgent, ...]:
    """Return agents that processes of `users` (by number) would ask before the one that listens at `asked`.

    A process looks into its user's own folders first: `credagent_worker.runtime_folders`.
    """
    found: dict[str, OtherAgent] = {}
    for uid, name in users.items():
        own = [f"{login_folders}/{uid}/credagent", f"/tmp/credagent-{uid}"] if uid else [SYSTEM_FOLDER]  # noqa: S108  looked at only
        for folder in own:
            path = f"{folder}/agent.sock"
            if path != asked and os.path.exists(path) and (pid := listens(path)) not in (0, asked_pid):
                found[path] = OtherAgent(socket=path, user=name, pid=pid)
    return tuple(found.values())


def containers() -> tuple[ContainerFacts, ...]:
    """Return the network namespaces beside this one in which a metadata token is had. Only root can enter them."""
    if os.geteuid() != 0:
        return ()
    ours = os.readlink("/proc/self/ns/net")
    seen: dict[str, int] = {}
    for pid in processes.running():
        try:
            seen.setdefault(os.readlink(f"/proc/{pid}/ns/net"), pid)
        except OSError:
            continue
    seen.pop(ours, None)
    asked = {}
    for pid in list(seen.values())[:MOST_CONTAINERS]:
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-I", "-S", "-c", METADATA_QUESTION]
        try:
            asked[pid] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  fixed words
        except OSError:
            return ()
    found = []
    for pid, process in asked.items():
        try:
            reached = process.wait(CONTAINER_S) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            continue
        if reached:
            found.append(ContainerFacts(pid=pid, name=os.path.basename(processes.command_line(pid)[0])))
    return tuple(found)


def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()
