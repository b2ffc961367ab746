"""What the agent on this machine says within a moment: its status, what its workers report, and what it hands out."""

import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from credagent.operations.doctor.facts import ReportedError
from credagent.worker import credagent_worker

ANSWER_S = 1.2  # each; what comes from memory comes in milliseconds


class AgentAnswers(Struct, frozen=True, kw_only=True):
    """What was asked and answered. `pid`, `uid`: of who listens.

    `handed_out`: the names of the variables that a worker gets now; their values are dropped here.
    """

    status: Mapping[str, Any] | None = None
    silence: ReportedError | None = None
    hangs: bool = False
    socket: str = ""
    pid: int = 0
    uid: int | None = None
    processes: tuple[Mapping[str, Any], ...] = ()
    handed_out: frozenset[str] | None = None
    start_failure: ReportedError | None = None


def ask_agent(sockets: Sequence[str]) -> AgentAnswers:
    """Ask the first agent that listens at one of `sockets`."""
    absent = ""
    for path in sockets:
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(ANSWER_S)
                asked.connect(path)
                credagent_worker.refuse_stranger(asked, path)
                pid, uid, _ = struct.unpack("=iII", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except TimeoutError:  # its queue is full
            return AgentAnswers(hangs=True, socket=path)
        except OSError as error:
            absent = absent or f"{path}: {(error.strerror or 'nobody answers').lower()}"
            continue
        return _answers(path, pid, uid)
    return AgentAnswers(silence=ReportedError(code="no-agent", why=absent or "no socket of one is there"))


def _answers(path: str, pid: int, uid: int) -> AgentAnswers:
    try:
        status = credagent_worker.ask({"op": "status"}, path, ANSWER_S)
    except credagent_worker.AgentRefused as error:
        silence = ReportedError(code=error.code, why=str(error), hint=error.hint)
        return AgentAnswers(silence=silence, socket=path, pid=pid, uid=uid)
    except credagent_worker.AgentAbsent:
        return AgentAnswers(hangs=True, socket=path, pid=pid, uid=uid)
    handed_out, failure = None, None
    try:
        handed_out = frozenset(credagent_worker.ask({"op": "set"}, path, ANSWER_S)["environment"])
    except credagent_worker.AgentRefused as error:
        failure = ReportedError(
            code=error.code, why=str(error).removeprefix("the agent could not start: "), hint=error.hint
        )
    except credagent_worker.AgentAbsent:
        pass
    try:
        reports = credagent_worker.ask({"op": "processes"}, path, ANSWER_S)["processes"]
    except (credagent_worker.AgentRefused, credagent_worker.AgentAbsent, KeyError):
        reports = ()  # an earlier release's
    # Of hundreds only the first are reported on; the status lists all of them.
    processes = {one["pid"]: one for one in (*status.get("workers", ()), *reports)}
    if not os.path.exists(f"/proc/{pid}"):  # an agent that took the sockets over from one that is gone
        pid = int(status.get("agent", {}).get("pid", 0))
    never_started = status.get("state") == "unavailable" and status.get("generation") == 0 and failure is not None
    return AgentAnswers(
        status=status,
        socket=path,
        pid=pid,
        uid=uid,
        processes=tuple(processes.values()),
        handed_out=handed_out,
        start_failure=failure if never_started else None,
    )


def listens(path: str) -> int:
    """Return the process that listens at `path`, 0 for nobody."""
    try:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(ANSWER_S)
            asked.connect(path)
            pid: int = struct.unpack("=iII", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    except OSError:
        return 0
    return pid if pid != os.getpid() else 0
