"""A real SLURM of Debian's packages: munged, slurmctld, and a slurmd for each of two nodes, as processes.

Nothing of it is installed into /etc and no systemd is asked; everything is below one folder and ends with the block.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

from tests.ending import kill_tree
from tests.patience import scaled
from tests.ports import free_port

NODES = ("n1", "n2")
CORES = 8  # of each node as far as SLURM is concerned: jobs are placed by this, and none is bound to a core
START_S = 60.0
LAST_LINES = 2_000


class Slurm:
    """The daemons; `environ` is what a person has who may submit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environ = {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Self:
        self._folder.chmod(0o755)  # who submits reads the configuration and reaches munge's socket
        (self._folder / "munge").mkdir(mode=0o755)
        (self._folder / "state").mkdir()
        key = self._folder / "munge" / "key"
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(1024))
        (self._folder / "slurm.conf").write_text(self._configuration())
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            kill_tree(process)
        for step in psutil.process_iter(["name", "cwd"]):  # slurmstepd leaves the daemon that started it
            if step.info["name"] == "slurmstepd" and step.info["cwd"] == str(self._folder):
                with contextlib.suppress(psutil.NoSuchProcess):
                    step.kill()
        print("\n".join(f"== {path.name}\n{path.read_text()[-LAST_LINES:]}" for path in self._folder.glob("*.log")))

    def _start_all(self) -> None:
        munge, conf = self._folder / "munge", self.environ["SLURM_CONF"]
        paths = (f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed"))
        self._start("munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *paths)
        self._until((munge / "socket").exists, "munged listens")
        self._start("slurmctld", "-D", "-f", conf)
        for node in NODES:
            self._start("slurmd", "-D", "-N", node, "-f", conf)
        self._until(lambda: self.ask("sinfo", "-h", "-o", "%D %t") == f"{len(NODES)} idle", "both nodes are idle")

    def _start(self, *command: str) -> None:
        program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, f"{command[0]} is missing"
        with (self._folder / f"{command[0]}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *command[1:]], stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        self._processes.append(process)

    def _until(self, seen: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + scaled(START_S)
        while not seen():
            assert time.monotonic() < give_up, f"not within {START_S} s: {what}"
            time.sleep(0.1)

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM's prints."""
        environ = os.environ | self.environ
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout.strip()

    def _configuration(self) -> str:
        here, host = self._folder, socket.gethostname().partition(".")[0]
        ports = iter([free_port() for _ in range(1 + len(NODES))])
        lines = [
            "ClusterName=lab",
            f"SlurmctldHost={host}(127.0.0.1)",
            "SlurmUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={here}/munge/socket",
            f"SlurmctldPort={next(ports)}",
            f"StateSaveLocation={here}/state",
            f"SlurmdSpoolDir={here}/spool-%n",
            f"SlurmctldPidFile={here}/slurmctld.pid",
            f"SlurmdPidFile={here}/slurmd-%n.pid",
            "ProctrackType=proctrack/pgid",  # the others want cgroups, which belong to systemd
            "TaskPlugin=task/none",
            "SwitchType=switch/none",
            "MpiDefault=none",
            "ReturnToService=2",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_CPU",
            "SlurmdParameters=config_overrides",  # believe this file, not what the machine has
            "SchedulerParameters=batch_sched_delay=0,sched_interval=1",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "KillWait=5",
        ]
        for node in NODES:
            where = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={next(ports)}"
            lines.append(f"NodeName={node} {where} CPUs={CORES} RealMemory=16000 State=UNKNOWN")
        lines.append(f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP")
        return "\n".join([*lines, ""])
