"""The composition root of `exec`: finds or becomes the machine's agent, then starts a program with what it hands out.

Attaching needs no more than the socket. Where no agent runs, one is forked beside the program; what it does is
`start`'s.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from msgspec import Struct

from credagent import config as configuration
from credagent import log
from credagent.config import Config
from credagent.config.channel_specs import SocketChannelSpec
from credagent.errors import InternalError, Unavailable, UsageError
from credagent.exec import child_process
from credagent.exec.agent_subscription import AgentSubscription, Document, complete
from credagent.exec.child_process import Account, Launch
from credagent.exec.dask_preload import preload_environment, worker_path
from credagent.exec.embedded_agent import EmbeddedAgent
from credagent.exec.renewal_action import OnRenewal
from credagent.exec.supervisor import Supervisor
from credagent.system import process_control

WAIT_VARIABLE, WAIT = "CREDAGENT_WORKER_WAIT", "30s"
MISSING_VARIABLE = "CREDAGENT_WORKER_MISSING"
LOOK_AGAIN_S = 0.005  # for an agent that is starting: it takes tens of milliseconds
LOOK_FOR_REVIVAL_S = 0.25  # while its sets are waited for
OF_THE_SERVICE_MANAGER = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)


class ExecRequest(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    command: tuple[str, ...]
    config_path: str | None = None
    user: str | None = None
    on_renewal: OnRenewal = None


class Start(Struct, frozen=True, kw_only=True):
    """One start of a program: what was asked for, and where."""

    wish: ExecRequest
    config: Config
    environ: Mapping[str, str]
    account: Account | None

    @property
    def held_back(self) -> bool:
        """Whether an empty required slot holds back the program.

        What Dask delivers comes by a push channel, after the program has started: where one is configured, an empty
        required slot holds back Dask's tasks and not the program.
        """
        return not any(isinstance(channel, SocketChannelSpec) for channel in self.config.bundle.channels)

    @property
    def waits_for_ever(self) -> bool:
        """Whether nothing is started without an agent: some slot is required, and only an agent could fill it."""
        required = self.config.aws.required or self.config.google.required
        return required and self.held_back and self.environ.get(MISSING_VARIABLE) != "exit"

    @property
    def wait_s(self) -> int:
        """The longest wait for an agent and its first resolution."""
        return configuration.duration_s(self.environ.get(WAIT_VARIABLE) or WAIT)

    def environment(self, path: str, document: Document) -> dict[str, str]:
        """Return what the program gets: scrubbed, set, and with the worker's side for Dask."""
        scrubbed = set(document.get("scrub", ()))
        variables = {name: value for name, value in self.environ.items() if name not in scrubbed}
        variables |= document.get("environment", {})
        variables |= {name: value for name, value in document.get("overwrite", {}).items() if name in variables}
        variables |= preload_environment(variables, worker_path())
        return variables | {configuration.SOCKET_VARIABLE: path}

    def launch(self, subscription: AgentSubscription | None, document: Document | None) -> Launch:
        """Return what to start, and tell the agent what it starts with."""
        path = subscription.path if subscription is not None else self.environ.get(configuration.SOCKET_VARIABLE, "")
        if subscription is not None and document is not None:
            subscription.applied(document)
        if document is None:
            from credagent.exec import closed_environment  # noqa: PLC0415  only where no agent answers

            document = closed_environment.document(self.config)
        environment = self.environment(path, document)
        return Launch(command=self.wish.command, environment=environment, account=self.account)


class Renewed(Struct):
    """Renewed environments, for the watch."""

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


def run(wish: ExecRequest, environ: Mapping[str, str]) -> int:
    """Run the program and return its exit status. Raises CredagentError where it cannot be started."""
    config = configuration.load(wish.config_path, environ)
    account = child_process.account_named(wish.user, effective_uid=os.geteuid()) if wish.user else None
    start = Start(wish=wish, config=config, environ=environ, account=account)
    _end_on_signals()
    subscription = _attach(start)
    if subscription is not None or configuration.SOCKET_VARIABLE in environ:
        return _beside_another(start, subscription or _await_named(start))
    return _with_an_agent_of_its_own(start)


def _beside_another(start: Start, subscription: AgentSubscription | None) -> int:
    """Run the program with an agent that is not ours; become it where nothing is left to do beside it."""
    if os.getpid() == 1 or start.wish.on_renewal is not None:
        return _supervise(start, subscription, None)
    launch = start.launch(subscription, _first_set(start, subscription))
    if subscription is not None:
        subscription.close()
    return child_process.replace(launch)


def _with_an_agent_of_its_own(start: Start) -> int:
    companion = EmbeddedAgent(partial(_be_the_agent, start))
    companion.start()
    try:
        path = f"{start.config.agent.runtime_dir}/{configuration.SOCKET_NAME}"
        return _supervise(start, _await_own(companion, path), companion)
    finally:
        companion.stop()


def _supervise(start: Start, subscription: AgentSubscription | None, companion: EmbeddedAgent | None) -> int:
    process_control.forbid_dumping()
    process_control.adopt_orphans()
    launch = start.launch(subscription, _first_set(start, subscription, companion))
    renewals = None
    if subscription is not None and start.wish.on_renewal is not None:
        renewals = Renewed(subscription, start.environment)
    elif subscription is not None:
        subscription.close()
    speak = partial(_speak, start.config)
    return Supervisor(
        launch, on_renewal=start.wish.on_renewal, renewals=renewals, companion=companion, speak=speak
    ).run()


def _attach(start: Start) -> AgentSubscription | None:
    for path in configuration.agent_sockets(start.config, start.environ, os.geteuid()):
        try:
            return AgentSubscription(path)
        except OSError:
            continue
    return None


def _await_named(start: Start) -> AgentSubscription | None:
    """Wait for the agent that CREDAGENT_SOCKET names: it may be restarting, and another's credentials will not do."""
    path, until = start.environ[configuration.SOCKET_VARIABLE], time.monotonic() + start.wait_s
    pause_s = LOOK_AGAIN_S
    while time.monotonic() < until or start.waits_for_ever:
        try:
            return AgentSubscription(path)
        except OSError:
            time.sleep(pause_s)
        if start.waits_for_ever and pause_s == LOOK_AGAIN_S and time.monotonic() >= until:
            pause_s = LOOK_FOR_REVIVAL_S
            log.warning("waits_for_agent", socket=path, why="a required slot is empty without it")
            _speak(start.config)
    if start.environ.get(MISSING_VARIABLE) == "exit":
        raise Unavailable("no-agent", "no agent answers", what=path, hint="is it running? is its folder mounted here?")
    log.warning("started_without_agent", socket=path)
    return None


def _await_own(companion: EmbeddedAgent, path: str) -> AgentSubscription:
    while companion.lives():
        try:
            return AgentSubscription(path)
        except OSError:
            time.sleep(LOOK_AGAIN_S)
    code = companion.exit_code or 0
    if code > 0:
        raise SystemExit(code)  # it has said why
    raise InternalError("agent-ended", f"killed by signal {-code} before it was ready", what="the agent")


def _first_set(
    start: Start, subscription: AgentSubscription | None, companion: EmbeddedAgent | None = None
) -> Document | None:
    """Return the set to start with; None, or one that is not complete, where waiting came to its end."""
    until, newest = time.monotonic() + start.wait_s, None
    while subscription is not None and (time.monotonic() < until or start.held_back):
        newest = subscription.wait(LOOK_FOR_REVIVAL_S) or newest
        if newest is not None and complete(newest, required=start.held_back):
            return newest
        subscription.revive()
        if companion is not None and not companion.lives():
            companion.revive()
        _speak(start.config)
    log.warning("started_before_settled")
    return newest


def _be_the_agent(start: Start) -> int:
    """Run in the forked process."""
    from credagent.daemon.startup import run as run_agent  # noqa: PLC0415  nothing of it is needed where an agent runs already

    os.umask(0o077)
    for name in OF_THE_SERVICE_MANAGER:
        os.environ.pop(name, None)  # they are the program's
    own = {name: value for name, value in start.environ.items() if name not in OF_THE_SERVICE_MANAGER}
    if start.account is not None:
        own["CREDAGENT_WORKERS_USERS"] = ",".join([*start.config.workers.users, start.account.name])
    else:
        hint = "as root, --user starts the program as another user; else what a task runs can act as the agent"
        log.warning("tasks_share_uid", uid=os.geteuid(), hint=hint)
    return run_agent(start.wish.config_path, own)


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
