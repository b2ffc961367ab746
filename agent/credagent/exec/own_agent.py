"""What runs beside the program where the machine has no agent: how one is made, as a fork of this process.

The daemon's rooms do the agent's work; which `exec` of several has it is decided in `shared_agent`.
"""

import os
from functools import partial

from credagent import log
from credagent.config import SOCKET_NAME
from credagent.exec.agent_subscription import AgentSubscription
from credagent.exec.embedded_agent import EmbeddedAgent, TakenOver
from credagent.exec.program_start import ProgramStart
from credagent.exec.shared_agent import SharedAgent

OF_THE_SERVICE_MANAGER = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)


def shared_agent(start: ProgramStart, found: AgentSubscription | None) -> SharedAgent:
    """Return the agent that all `exec` of this user share: `found`, which ends with another one, or one to start."""
    path = f"{start.config.agent.runtime_dir}/{SOCKET_NAME}"
    return SharedAgent(path, EmbeddedAgent(partial(_be_the_agent, start)), found)


def _be_the_agent(start: ProgramStart, taken_over: TakenOver) -> int:
    """Run in the forked process."""
    from credagent.daemon.startup import run_beside_program  # noqa: PLC0415  in the fork, not in who waits for it

    os.umask(0o077)
    for name in OF_THE_SERVICE_MANAGER:
        os.environ.pop(name, None)  # they are the program's
    own = {name: value for name, value in start.environ.items() if name not in OF_THE_SERVICE_MANAGER}
    if start.account is not None:
        own["CREDAGENT_WORKERS_USERS"] = ",".join([*start.config.workers.users, start.account.name])
    elif os.geteuid() == 0:  # nobody else can change it; what that means is in without-root.md
        hint = "--user starts the program as another user; else what a task runs can act as the agent"
        log.warning("tasks_share_uid", uid=0, hint=hint)
    return run_beside_program(start.request.config_path, own, taken_over.lock, taken_over.sockets)
