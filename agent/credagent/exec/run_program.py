"""The composition root of `exec`: finds or becomes the machine's agent, then starts a program with what it hands out.

Attaching needs no more than the socket. Where no agent runs, one is forked beside the program; what it does is
`daemon`'s.
"""

import gc
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from msgspec import Struct

from credagent import config as configuration
from credagent import log
from credagent.config import Config
from credagent.errors import UsageError
from credagent.exec import child_process
from credagent.exec.agent_subscription import AgentSubscription, Document, complete
from credagent.exec.agent_wait import AgentAt, AgentSource, wait_for_agent
from credagent.exec.embedded_agent import EmbeddedAgent, TakenOver
from credagent.exec.program_start import ExecRequest, ProgramStart
from credagent.exec.shared_agent import SharedAgent
from credagent.exec.supervisor import Supervisor
from credagent.system import process_control

OF_THE_SERVICE_MANAGER = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)


class Renewed(Struct):
    """Renewed environments, for the supervisor."""

    subscription: AgentSubscription
    compose: Callable[[str, Document], dict[str, str]]

    def fileno(self) -> int:
        """Return what to poll."""
        return self.subscription.fileno()

    def revive(self) -> float | None:
        """Reconnect if it is due."""
        return self.subscription.revive()

    def read(self) -> Mapping[str, str] | None:
        """Return the new environment; what a program runs with is better than less than all."""
        document = self.subscription.newest()
        if document is None or not complete(document, required=True):
            return None
        self.subscription.applied(document)
        return self.compose(self.subscription.path, document)


def run(request: ExecRequest, environ: Mapping[str, str]) -> int:
    """Run the program and return its exit status. Raises CredagentError where it cannot be started."""
    config = configuration.load(request.config_path, environ)
    account = child_process.account_named(request.user, effective_uid=os.geteuid()) if request.user else None
    start = ProgramStart(request=request, config=config, environ=environ, account=account)
    _end_on_signals()
    if named := environ.get(configuration.SOCKET_VARIABLE):
        return _beside_another(start, AgentAt(named))
    own_path = f"{config.agent.runtime_dir}/{configuration.SOCKET_NAME}"
    paths = configuration.agent_sockets(config, environ, os.geteuid())
    agent = SharedAgent(paths, own_path, EmbeddedAgent(partial(_be_the_agent, start)))
    subscription = agent.attach()
    if subscription is not None and not agent.ends_with_its_exec():
        return _beside_another(start, AgentAt(subscription.path, subscription))
    try:
        return _supervise(start, agent, companion=agent)
    finally:
        agent.stop()


def _beside_another(start: ProgramStart, source: AgentAt) -> int:
    """Run the program with an agent that is not ours; become it where nothing is left to do beside it."""
    if os.getpid() == 1 or start.request.on_renewal is not None:
        return _supervise(start, source, companion=None)
    subscription, document = wait_for_agent(start, source, partial(_speak, start.config))
    launch = start.launch(subscription, document)
    if subscription is not None:
        subscription.close()
    return child_process.replace(launch)


def _supervise(start: ProgramStart, source: AgentSource, *, companion: SharedAgent | None) -> int:
    gc.enable()
    process_control.forbid_dumping()
    process_control.adopt_orphans()
    speak = partial(_speak, start.config)
    subscription, document = wait_for_agent(start, source, speak)
    launch = start.launch(subscription, document)
    renewals = None
    if subscription is not None and start.request.on_renewal is not None:
        renewals = Renewed(subscription, start.environment)
    elif subscription is not None:
        subscription.close()
    supervisor = Supervisor(
        launch, on_renewal=start.request.on_renewal, renewals=renewals, companion=companion, speak=speak
    )
    return supervisor.run()


def _be_the_agent(start: ProgramStart, taken_over: TakenOver) -> int:
    """Run in the forked process."""
    from credagent.daemon.startup import run_beside_program  # noqa: PLC0415  nothing of it is needed where an agent runs already

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


def _end_on_signals() -> None:
    """Let SIGTERM end the wait before the program runs; PID 1 would ignore it otherwise."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _speak(config: Config) -> None:
    """Load the log once there is something to say; most programs end without a word from us."""
    if log.waits():
        log.start(config.log.level, config.log.format)


def checked(command: list[str]) -> tuple[str, ...]:
    """Return the command, which is not empty. Raises UsageError."""
    if not command or not command[0]:
        raise UsageError("usage", "no command to run", what="credagent exec", hint="credagent exec -- CMD …")
    return tuple(command)
