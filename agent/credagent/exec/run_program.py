"""The composition root of `exec`: finds the machine's agent, and starts a program with what it hands out.

Beside an agent that runs this is a client that becomes its program: a socket, a document, an environment, execve. Where
none runs, or one that ends with another `exec`, the agent beside the program is `own_agent`'s.
"""

from __future__ import annotations

import gc
import os
import signal

from credagent.errors import UsageError
from credagent.exec import child_process
from credagent.exec.agent_subscription import AgentSubscription, complete
from credagent.exec.agent_wait import AgentAt, wait_for_agent
from credagent.exec.program_start import ProgramStart
from credagent.handover.unix.agent_place import SOCKET_VARIABLE, known_places, of_an_exec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import NoReturn

    from credagent.exec.agent_subscription import Document
    from credagent.exec.agent_wait import AgentSource
    from credagent.exec.program_start import ExecRequest
    from credagent.exec.supervisor import Companion


class Renewed:
    """Renewed environments, for the supervisor."""

    def __init__(self, subscription: AgentSubscription, compose: Callable[[str, Document], dict[str, str]]) -> None:
        """Make an environment of each set that `subscription` brings, by `compose`."""
        self._subscription, self._compose = subscription, compose

    def fileno(self) -> int:
        """Return what to poll."""
        return self._subscription.fileno()

    def revive(self) -> float | None:
        """Reconnect if it is due."""
        return self._subscription.revive()

    def read(self) -> Mapping[str, str] | None:
        """Return the new environment; what a program runs with is better than less than all."""
        document = self._subscription.newest()
        if document is None or not complete(document):
            return None
        self._subscription.applied(document)
        return self._compose(self._subscription.path, document)


def run(request: ExecRequest, environ: Mapping[str, str]) -> int:
    """Run the program and return its exit status. Raises CredagentError where it cannot be started."""
    account = child_process.account_named(request.user, effective_uid=os.geteuid()) if request.user else None
    start = ProgramStart(request, environ, account)
    _end_on_signals()
    if named := environ.get(SOCKET_VARIABLE):
        return _beside_another(start, AgentAt(named))
    found = _first_answering(known_places(request.config_path, environ)) or _first_answering(_configured_places(start))
    if found is not None and not of_an_exec(found.path):
        return _beside_another(start, AgentAt(found.path, found))

    from credagent.exec.own_agent import shared_agent  # noqa: PLC0415  nothing of it is needed beside another agent

    agent = shared_agent(start, found)
    try:
        return _supervise(start, agent, companion=agent)
    finally:
        agent.stop()


def _first_answering(paths: Iterable[str]) -> AgentSubscription | None:
    return next((found for path in paths if (found := AgentSubscription.try_connect(path)) is not None), None)


def _configured_places(start: ProgramStart) -> Sequence[str]:
    from credagent.config import agent_sockets  # noqa: PLC0415  only where nobody answers where most agents are

    return agent_sockets(start.config, start.environ, os.geteuid())


def _beside_another(start: ProgramStart, source: AgentAt) -> int:
    """Run the program with an agent that is not ours; become it where nothing is left to do beside it."""
    if os.getpid() == 1 or start.request.on_renewal is not None:
        return _supervise(start, source, companion=None)
    subscription, document = wait_for_agent(start, source)
    launch = start.launch(subscription, document)
    if subscription is not None:
        subscription.close()
    return child_process.replace(launch)


def _supervise(start: ProgramStart, source: AgentSource, *, companion: Companion | None) -> int:
    from credagent.exec.supervisor import Supervisor  # noqa: PLC0415  who becomes the program does not stay
    from credagent.system import process_control  # noqa: PLC0415  ctypes, as the supervisor

    gc.enable()
    process_control.forbid_dumping()
    process_control.adopt_orphans()
    subscription, document = wait_for_agent(start, source)
    launch = start.launch(subscription, document)
    renewals = None
    if subscription is not None and start.request.on_renewal is not None:
        renewals = Renewed(subscription, start.environment)
    elif subscription is not None:
        subscription.close()
    supervisor = Supervisor(
        launch, on_renewal=start.request.on_renewal, renewals=renewals, companion=companion, speak=start.speak
    )
    return supervisor.run()


def _end_on_signals() -> None:
    """Let SIGTERM end the wait before the program runs; PID 1 would ignore it otherwise."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def checked(command: list[str]) -> tuple[str, ...]:
    """Return the command, which is not empty. Raises UsageError."""
    if not command or not command[0]:
        raise UsageError("usage", "no command to run", what="credagent exec", hint="credagent exec -- CMD …")
    return tuple(command)
