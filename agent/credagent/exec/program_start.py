"""One start of a program: what was asked for, how long it waits for credentials, and which environment it gets.

Nothing is connected or started here.
"""

from collections.abc import Mapping

from msgspec import Struct

from credagent import config as configuration
from credagent.config import Config
from credagent.config.channel_grammar import SocketChannelSpec
from credagent.exec.agent_subscription import AgentSubscription, Document
from credagent.exec.child_process import Account, Launch
from credagent.exec.dask_preload import preload_environment, worker_path
from credagent.exec.renewal_action import OnRenewal
from credagent.worker import credagent_worker

WAIT_VARIABLE, WAIT = "CREDAGENT_WORKER_WAIT", "30s"
MISSING_VARIABLE = "CREDAGENT_WORKER_MISSING"


class ExecRequest(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    command: tuple[str, ...]
    config_path: str | None = None
    user: str | None = None
    on_renewal: OnRenewal = None


class ProgramStart(Struct, frozen=True, kw_only=True):
    """One start of a program: what was asked for, and where."""

    request: ExecRequest
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
        return required and self.held_back and not self.ends_without_agent

    @property
    def ends_without_agent(self) -> bool:
        """Whether nothing is started where no agent answers in time."""
        return self.environ.get(MISSING_VARIABLE) == "exit"

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
        variables |= credagent_worker.past_proxies(variables, document.get("no_proxy", ()))
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
        return Launch(command=self.request.command, environment=environment, account=self.account)
