"""Pods as processes: what a kubelet does with users, modes, variables and volumes, in namespaces of this machine.

No container image: programs are this machine's. Networks are namespaces, /dev/shm and /run are a pod's own, a Secret
has the modes that the kubelet's atomic writer and fsGroup give it. The operator's own code makes pods of a DaskCluster.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deployments.ssh_machines import Bridge
from tests.ending import kill_tree

BIN = Path(sys.executable).parent
SECRET_MODE = 0o644  # what a Secret's files have where nobody says
# What the kubelet puts into a pod of a namespace that has a Service named credagent, unless service links are off.
SERVICE_LINKS = {
    "CREDAGENT_SERVICE_HOST": "10.96.0.7",
    "CREDAGENT_SERVICE_PORT": "9818",
    "CREDAGENT_PORT": "tcp://10.96.0.7:9818",
    "CREDAGENT_PORT_9818_TCP": "tcp://10.96.0.7:9818",
    "CREDAGENT_PORT_9818_TCP_PROTO": "tcp",
    "CREDAGENT_PORT_9818_TCP_PORT": "9818",
    "CREDAGENT_PORT_9818_TCP_ADDR": "10.96.0.7",
}


class Kubelet:
    """Runs pods, each on its own address of `network`; everything ends with `close`."""

    def __init__(self, folder: Path, network: Bridge, environ: Mapping[str, str]) -> None:
        """`environ` is what the images would bring, and where the simulated cloud is."""
        self._folder, self._network = folder, network
        self._environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/nonexistent", "LANG": "C.UTF-8", **environ}
        self._hosts = {"localhost": "127.0.0.1"}
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._pods: dict[str, tuple[Mapping[str, Any], Mapping[str, str]]] = {}
        self.secrets: dict[str, dict[str, bytes]] = {}

    def name(self, host: str, machine: str) -> None:
        """Let `host` be found at a machine's address: what the cluster's DNS does for a Service."""
        self._hosts[host] = self._network.address(machine)

    def run(self, machine: str, spec: Mapping[str, Any], **variables: str) -> None:
        """Start the containers of a pod, sidecars first; `variables` are what an admission webhook adds to each."""
        self._pods[machine] = spec, variables
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            self._start(machine, spec, container, variables)

    def restart(self, machine: str) -> None:
        """Kill a pod, and start it anew as its Deployment does."""
        spec, variables = self._pods[machine]
        self.end(machine)
        self.run(machine, spec, **variables)

    def end(self, machine: str) -> None:
        """Kill a pod."""
        for one in self._running.pop(machine):
            kill_tree(one)

    def logs(self) -> str:
        """Return what all containers have said."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self._folder.glob("*.log")))

    def close(self) -> None:
        """End every container."""
        for one in [one for pod in self._running.values() for one in pod]:
            kill_tree(one)
        print(self.logs())

    def _start(
        self, machine: str, spec: Mapping[str, Any], container: Mapping[str, Any], variables: Mapping[str, str]
    ) -> None:
        security = spec["securityContext"]
        given = {entry["name"]: entry["value"] for entry in container.get("env", [])}
        links = SERVICE_LINKS if spec.get("enableServiceLinks", True) else {}
        environ = {**self._environ, **links, **variables, **given}
        words = [self._expanded(word, environ) for word in [*container.get("command", []), *container.get("args", [])]]
        become = [f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}"]
        become.append(f"--groups={security['fsGroup']}" if "fsGroup" in security else "--clear-groups")
        script = [
            "set -e",
            f"hostname {machine}",
            f"mount --bind {self._shared_memory(machine)} /dev/shm",
            f"mount --bind {self.hosts_file()} /etc/hosts",
            "mount -t tmpfs -o mode=755 tmpfs /run",
            *self._mounts(machine, spec, container),
            f"exec setpriv {' '.join(become)} {shlex.join(words)}",
        ]
        name = f"{machine}-{container['name']}"
        command = [*self._network.enter(machine), "unshare", "--mount", "--uts", "sh", "-c", "\n".join(script)]
        with (self._folder / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd="/", start_new_session=True)
        self._running.setdefault(machine, []).append(started)

    def _mounts(self, machine: str, spec: Mapping[str, Any], container: Mapping[str, Any]) -> list[str]:
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        lines = []
        for mount in container.get("volumeMounts", []):
            secret = volumes[mount["name"]]["secret"]
            source = self._secret(machine, secret, spec["securityContext"].get("fsGroup"))
            lines += [f"mkdir -p {mount['mountPath']}", f"mount --bind {source} {mount['mountPath']}"]
        return lines

    def _secret(self, machine: str, secret: Mapping[str, Any], group: int | None) -> Path:
        """Write a Secret as the kubelet's atomic writer does, then give it to fsGroup (volume_linux.go)."""
        volume = self._folder / f"{machine}-{secret['secretName']}"
        written = volume / "..2026_11_30"
        if not volume.exists():
            written.mkdir(parents=True)
            volume.chmod(0o1777)
            (volume / "..data").symlink_to(written.name)
            for name, content in self.secrets[secret["secretName"]].items():
                path = written / name
                path.write_bytes(content)
                path.chmod(secret.get("defaultMode", SECRET_MODE))
                (volume / name).symlink_to(f"..data/{name}")
            for path in (written, *written.iterdir()) if group is not None else ():
                os.chown(path, 0, group or 0)
                path.chmod(path.stat().st_mode | (0o2050 if path.is_dir() else 0o040))
        return volume

    def _shared_memory(self, machine: str) -> Path:
        shared = self._folder / f"{machine}-shm"
        shared.mkdir(exist_ok=True)
        shared.chmod(0o1777)
        return shared

    def hosts_file(self) -> Path:
        """Write what the cluster's DNS would say of its names."""
        path = self._folder / "hosts"
        path.write_text("".join(f"{address} {name}\n" for name, address in self._hosts.items()))
        return path

    @staticmethod
    def _expanded(word: str, environ: Mapping[str, str]) -> str:
        """Replace $(NAME) as the kubelet does in command and args."""
        for name, value in environ.items():
            word = word.replace(f"$({name})", value)
        return word
