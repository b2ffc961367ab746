"""Processes of this machine: Dask's by their command lines, and what the ones that the agent supplies started with."""

import os
import pwd
import time
from collections.abc import Iterable, Iterator, Mapping

from credagent.cli.node_probes.agent_answers import AgentAnswers
from credagent.cli.node_probes.process_reading import home_of, read_start_environment
from credagent.config import Config
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import OVERFLOW_UID, Caller
from credagent.operations.doctor.facts import DaskProcess, HomeFacts, WorkerFacts
from credagent.operations.observability.home_credential_files import Home
from credagent.operations.observability.process_identity import ProcessFacts

COMMAND_BYTES = 64 * 1024
WORKER_COMMANDS = ("dask-worker", "dask-cuda-worker", "dask_worker", "dask_cuda_worker")
SCHEDULER_COMMANDS = ("dask-scheduler", "dask_scheduler")
CHILD_OF_NANNY = "--multiprocessing-fork"  # how multiprocessing starts a process anew; its resource tracker has none


def running() -> Iterator[int]:
    """Yield the numbers of all processes that are seen here."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield int(name)


def command_line(pid: int) -> list[str]:
    """Return the words of a process's command line; none for a kernel's thread, or one that is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(COMMAND_BYTES).decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def state_and_parent(pid: int) -> tuple[str, int]:
    """Return a process's state as in proc_pid_stat(5), and its parent; ("", 0) for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, parent, *_ = file.read(1024).rpartition(")")[2].split()
    except (OSError, ValueError):
        return "", 0
    return state, int(parent)


def same_pid_namespace(pid: int) -> bool:
    """Tell whether a process is in this one's PID namespace: what runs in a container has an agent of its own there."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return True  # another user's, and not for us to see: not told apart


def dask_role(words: list[str]) -> str:
    """Return `worker` or `scheduler` for the command line of such a command, else ""."""
    names = [os.path.basename(word).removesuffix(".py") for word in words[:4]]
    modules = [word.rpartition(".")[2] for word in words[:4]]
    if any(name in SCHEDULER_COMMANDS for name in (*names, *modules)) or _runs_dask(words, "scheduler"):
        return "scheduler"
    if any(name in WORKER_COMMANDS for name in (*names, *modules)) or _runs_dask(words, "worker"):
        return "worker"
    return ""


def _runs_dask(words: list[str], command: str) -> bool:
    """Tell `dask worker`, `python -m dask worker` and `dask cuda worker`, whatever Python and path they begin with."""
    dask = [place for place, word in enumerate(words[:3]) if os.path.basename(word) == "dask"]
    return bool(dask) and command in words[dask[0] + 1 : dask[0] + 3]


def dask_processes(rules: AccessRules) -> tuple[DaskProcess, ...]:
    """Return the processes of whoever may ask that run a worker or a scheduler: of a nanny its children."""
    commands = {pid: words for pid in running() if (words := command_line(pid)) and same_pid_namespace(pid)}
    roles = {pid: role for pid, words in commands.items() if (role := dask_role(words))}
    found = []
    for pid, role in roles.items():
        children = [
            one for one, words in commands.items() if CHILD_OF_NANNY in words and state_and_parent(one)[1] == pid
        ]
        if role == "worker" and not children and "--no-nanny" not in commands[pid]:
            continue  # a nanny between two lives of its worker
        for one in children if role == "worker" and children else [pid]:
            uid = _uid(one)
            if uid is not None and _may_ask(rules, uid):
                state, process = state_and_parent(one)[0], _at_start(one)
                found.append(DaskProcess(pid=one, uid=uid, role=role, age_s=_age_s(one), state=state, process=process))
    return tuple(sorted(found, key=lambda one: one.pid))


def _at_start(pid: int) -> ProcessFacts | None:
    """Return what a process started with, None where that may not be read: only root sees another user's."""
    try:
        started = read_start_environment(pid)
    except OSError:
        return None
    return ProcessFacts(pid=pid, at_start=started.names, home=started.home)


def worker_facts(answers: AgentAnswers) -> tuple[WorkerFacts, ...]:
    """Return what is known of each process that the agent supplies: by its own report, and by what it started with."""
    found = []
    for one in answers.processes:
        if one["role"] == "exec":
            continue  # what was started by it has the set of that moment, and nothing follows
        pid, report = int(one["pid"]), one.get("process") or {}
        names = None if "names" not in report else frozenset(map(str, report["names"]))
        started = _at_start(pid)
        facts = ProcessFacts(
            pid=pid,
            at_start=None if started is None else started.at_start,
            now=names,
            changed=frozenset(map(str, report.get("changed", ()))),
            proxied=bool(report.get("proxied")),
            generation=one["generation"],
            home=Home() if started is None else started.home,
        )
        versions = {str(name): str(version) for name, version in report.get("versions", {}).items()}
        state = state_and_parent(pid)[0]
        found.append(WorkerFacts(role=one["role"], process=facts, uid=one["uid"], state=state, versions=versions))
    return tuple(found)


def worker_homes(config: Config, uids: Iterable[int], euid: int) -> tuple[HomeFacts, ...]:
    """Return what lies in the homes of those that workers run as, by the configuration or by what runs now."""
    numbers = {uid for name in config.workers.users if (uid := _number(name)) is not None} | set(uids)
    if euid != 0:
        numbers.add(euid)  # whoever runs an agent of his own is his own worker
    homes = []
    for uid in sorted(numbers):
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            continue
        environ: Mapping[str, str] = os.environ if uid == euid else {"HOME": user.pw_dir}
        homes.append(HomeFacts(user=user.pw_name, home=home_of(environ)))
    return tuple(homes)


def user_names(uids: Iterable[int]) -> dict[int, str]:
    """Return the names of users, without those that have none here."""
    names = {}
    for uid in uids:
        try:
            names[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            continue
    return names


def _number(name: str) -> int | None:
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _may_ask(rules: AccessRules, uid: int) -> bool:
    """Tell whether a user's processes are this agent's to supply, as its socket would."""
    try:
        user = pwd.getpwuid(uid)
        groups = frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
    except KeyError:
        groups = frozenset()
    return rules.may_ask(Caller(pid=0, uid=uid, gid=0 if uid == 0 else OVERFLOW_UID, groups=groups))


def _age_s(pid: int) -> float:
    """Return how long a process runs: field 22 of proc_pid_stat(5), in ticks since boot; 0.0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            began = int(file.read(1024).rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def _uid(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
