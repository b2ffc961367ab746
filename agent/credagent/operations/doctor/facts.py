"""What was seen of a node: frozen values that probes fill in and checks judge. None, "" and () are "nobody could say".

No value of a variable and no credential is ever among them; names are.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from credagent.config import Config
from credagent.operations.observability.home_credential_files import Home
from credagent.operations.observability.process_identity import ProcessFacts


class ReportedError(Struct, frozen=True, kw_only=True):
    """An error as it was told: a stable code, a sentence, and what to do."""

    code: str
    why: str
    hint: str = ""


class UnitFacts(Struct, frozen=True, kw_only=True):
    """A unit as `systemctl show` has it: LoadState, ActiveState, UnitFileState, MainPID, Result."""

    load: str
    active: str
    enabled: str
    main_pid: int = 0
    result: str = ""


class PathFacts(Struct, frozen=True, kw_only=True):
    """A file or a folder. Of a folder also the kind of its file system, and what is left of it in bytes and inodes."""

    path: str
    uid: int
    mode: int
    file_system: str = ""
    size_bytes: int = 0
    free_bytes: int | None = None
    free_inodes: int | None = None


class WorkerFacts(Struct, frozen=True, kw_only=True):
    """A process that the agent keeps supplied. `state`: as in proc_pid_stat(5), T is stopped."""

    role: str
    process: ProcessFacts
    uid: int
    state: str = ""
    versions: Mapping[str, str] = {}


class DaskProcess(Struct, frozen=True, kw_only=True):
    """A process that runs a Dask worker or scheduler, by its command line, for `age_s` seconds.

    `process`: what it started with; None where that may not be read.
    """

    pid: int
    uid: int
    role: str
    age_s: float
    state: str = ""
    process: ProcessFacts | None = None


class HomeFacts(Struct, frozen=True, kw_only=True):
    """What lies in the home of a user that workers run as."""

    user: str
    home: Home


class PortHolder(Struct, frozen=True, kw_only=True):
    """Who listens on an address that the agent wants; `pid` 0 where that cannot be seen."""

    address: str
    user: str
    pid: int = 0
    name: str = ""


class OtherAgent(Struct, frozen=True, kw_only=True):
    """An agent that answers at another socket, where processes of `user` look first."""

    socket: str
    user: str
    pid: int


class ContainerFacts(Struct, frozen=True, kw_only=True):
    """A network namespace on this machine from which the instance's metadata service gives a session token."""

    pid: int
    name: str


class MachineFacts(Struct, frozen=True, kw_only=True):
    """This machine in its cloud. `skew_s`: the metadata service's clock minus ours."""

    instance_id: str = ""
    region: str = ""
    metadata_address: str = "http://169.254.169.254"
    skew_s: float | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What was seen of a node at `now`.

    `config` holds defaults where the file cannot be read (`config_error`). `status` None: no agent answered, `silence`
    says why; `folder_refused`: none was asked, since a stranger could have put the runtime folder there; `hangs`:
    somebody listens and does not answer. `agent_pid` listens on the agent's socket.
    `start_failure`: the agent is there, and could not start. `handed_out`: names of the variables that a worker gets.
    `watches_files` False: the agent follows file channels and watches no folder. `user_names`: of the numbers below.
    """

    now: datetime
    host: str
    config: Config
    config_error: ReportedError | None = None
    config_changed: datetime | None = None
    status: Mapping[str, Any] | None = None
    silence: ReportedError | None = None
    folder_refused: ReportedError | None = None
    hangs: bool = False
    agent_pid: int = 0
    agent_uid: int | None = None
    agent_state: str = ""
    start_failure: ReportedError | None = None
    handed_out: frozenset[str] | None = None
    units: Mapping[str, UnitFacts] = {}
    folders: tuple[PathFacts, ...] = ()
    files: Mapping[str, PathFacts | None] = {}
    workers: tuple[WorkerFacts, ...] = ()
    dask: tuple[DaskProcess, ...] = ()
    homes: tuple[HomeFacts, ...] = ()
    port_holders: tuple[PortHolder, ...] = ()
    other_agents: tuple[OtherAgent, ...] = ()
    watches_files: bool | None = None
    containers: tuple[ContainerFacts, ...] = ()
    machine: MachineFacts = MachineFacts()
    missing_accounts: tuple[str, ...] = ()
    swap: bool = False
    user_names: Mapping[int, str] = {}

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of the status document (`agent`, `bundle`, `slots`), {} where no agent gave it."""
        return (self.status or {}).get(name) or {}

    def user(self, uid: int) -> str:
        """Return a user's name, or the number where it has none."""
        return self.user_names.get(uid, str(uid))
