"""One start of a program: what was asked for, how long it waits for credentials, and which environment it gets.

Nothing is connected or started here. The configuration is read where an answer depends on it, and then once: beside an
agent that answers with all that a program waits for, none does.
"""

from __future__ import annotations

from functools import cached_property

from credagent import log
from credagent.duration import duration_s
from credagent.errors import CredagentError
from credagent.exec.child_process import Launch
from credagent.exec.dask_preload import preload_environment, worker_path
from credagent.handover.unix.agent_place import SOCKET_VARIABLE
from credagent.worker import credagent_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from credagent.config import Config
    from credagent.exec.agent_subscription import AgentSubscription, Document
    from credagent.exec.child_process import Account
    from credagent.exec.renewal_action import OnRenewal

WAIT_VARIABLE, WAIT = "CREDAGENT_WORKER_WAIT", "30s"
MISSING_VARIABLE = "CREDAGENT_WORKER_MISSING"


class ExecRequest:
    """What the command line asks for."""

    __slots__ = ("command", "config_path", "on_renewal", "user")

    def __init__(
        self,
        *,
        command: tuple[str, ...],
        config_path: str | None = None,
        user: str | None = None,
        on_renewal: OnRenewal = None,
    ) -> None:
        """Run `command`."""
        self.command, self.config_path, self.user, self.on_renewal = command, config_path, user, on_renewal


class ProgramStart:
    """One start of a program: what was asked for, and where."""

    def __init__(self, request: ExecRequest, environ: Mapping[str, str], account: Account | None) -> None:
        """Start it as `account`. Raises ConfigurationError for a time to wait that is none."""
        self.request, self.environ, self.account = request, environ, account
        self.wait_s = duration_s(environ.get(WAIT_VARIABLE) or WAIT)
        """The longest wait for an agent and its first resolution."""

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigurationError, PermissionRefused."""
        from credagent import config  # noqa: PLC0415  beside a running agent none is read

        return config.load(self.request.config_path, self.environ)

    @property
    def held_back(self) -> bool:
        """Whether an empty required slot holds back the program.

        What Dask delivers comes by a push channel, after the program has started: where one is configured, an empty
        required slot holds back Dask's tasks and not the program.
        """
        from credagent.config.channel_grammar import SocketChannelSpec  # noqa: PLC0415  as the configuration

        return not any(isinstance(channel, SocketChannelSpec) for channel in self.config.bundle.channels)

    @property
    def waits_for_ever(self) -> bool:
        """Whether nothing is started without an agent: some slot is required, and only an agent could fill it."""
        required = self.config.aws.required or self.config.google.required
        return required and self.held_back and not self.ends_without_agent

    @property
    def ends_without_agent(self) -> bool:
        """Whether nothing is started where no agent answers in time."""
        return self.environ.get(MISSING_VARIABLE) == "exit"

    def environment(self, path: str, document: Document) -> dict[str, str]:
        """Return what the program gets: scrubbed, set, and with the worker's side for Dask."""
        scrubbed = set(document.get("scrub", ()))
        variables = {name: value for name, value in self.environ.items() if name not in scrubbed}
        variables |= document.get("environment", {})
        variables |= {name: value for name, value in document.get("overwrite", {}).items() if name in variables}
        variables |= credagent_worker.past_proxies(variables, document.get("no_proxy", ()))
        variables |= preload_environment(variables, worker_path())
        return variables | {SOCKET_VARIABLE: path}

    def launch(self, subscription: AgentSubscription | None, document: Document | None) -> Launch:
        """Return what to start, and tell the agent what it starts with."""
        path = subscription.path if subscription is not None else self.environ.get(SOCKET_VARIABLE, "")
        if subscription is not None and document is not None:
            subscription.applied(document)
        if document is None:
            from credagent.exec import closed_environment  # noqa: PLC0415  only where no agent answers

            document = closed_environment.document(self.config)
        environment = self.environment(path, document)
        return Launch(command=self.request.command, environment=environment, account=self.account)

    def speak(self) -> None:
        """Load the log once there is something to say; most programs end without a word from us.

        Beside a program that runs with what an agent gave, a configuration that has become wrong ends nothing.
        """
        if not log.waits():
            return
        try:
            log.start(self.config.log.level, self.config.log.format)
        except CredagentError:
            log.start()
