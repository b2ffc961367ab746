"""What this machine's workers get, and where: the plan of all handovers, worker.env, the loopback ports and the token.

Rendering is in worker_environment/rendering; who may ask is decided by the servers.
"""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from credagent import log
from credagent.config import Config
from credagent.credentials import CredentialSet, Held, Slot, Variables
from credagent.daemon import runtime_folders
from credagent.daemon.agent_settings import AgentSettings
from credagent.daemon.runtime_folders import Remembered
from credagent.errors import CredagentError
from credagent.handover.listening_sockets import ListeningSockets
from credagent.handover.unix.protocol import set_document
from credagent.secret import Secret
from credagent.slots.credential_store import digest_of
from credagent.system.file_writing import remove_own_file
from credagent.worker_environment import env_file
from credagent.worker_environment.rendering import HandoverPlan, WorkerView, worker_environment
from credagent.worker_environment.vendor_documents import credential_process

if TYPE_CHECKING:
    from credagent.handover.http.listeners import ServedHandovers


class WorkerHandover:
    """Renders the present set for this machine. `sockets` are bound, not served; the loop serves them."""

    def __init__(
        self,
        settings: Callable[[], AgentSettings],
        *,
        machine_region: Callable[[], str],
        remembered: Remembered,
        count: Callable[[str], None],
    ) -> None:
        """Hand over as the present `settings` say; `machine_region` gives the AWS region that the machine is in.

        `count` is told of each time that files are `written`, or were not (`failed`).
        """
        self._count = count
        self._settings, self.machine_region = settings, machine_region
        self.sockets: list[socket.socket] = []
        self.metrics: list[socket.socket] = []
        self.token: Secret | None = None
        self.error: CredagentError | None = None
        self._names, self._env_file = remembered.names, remembered.env_file
        self._document: tuple[tuple[object, ...], dict[str, Any]] | None = None

    def bind(self, given: ListeningSockets) -> None:
        """Take the loopback ports, and the token, where a handover needs them; and the one for metrics if wanted.

        Ports that are `given` are used in place of those of the configuration.
        """
        if self._config.endpoint.metrics is not None:
            from credagent.handover.http import port_binding  # noqa: PLC0415  not on the path of the default on AWS

            self.metrics = list(given.metrics) or port_binding.bind([self._config.endpoint.metrics])
        if not self.needs_ports:
            return
        from credagent.handover.http import endpoint_token, port_binding  # noqa: PLC0415  not on the path of the default on AWS

        self.sockets = port_binding.bind(self._config.endpoint.listen, given=given.endpoint)
        if self._config.aws.handover == "endpoint":
            access = self._settings().access
            self.token = endpoint_token.load_or_make(
                self._config.agent.runtime_dir, users=access.users, groups=access.groups
            )

    @property
    def _config(self) -> Config:
        return self._settings().config

    @property
    def needs_ports(self) -> bool:
        """Whether workers ask over loopback, or their metadata requests are redirected there."""
        config = self._config
        return config.aws.handover == "endpoint" or config.google.handover == "metadata" or config.workers.intercept

    @property
    def served(self) -> "ServedHandovers":
        """What is served over HTTP."""
        from credagent.handover.http.listeners import ServedHandovers  # noqa: PLC0415  asyncio: not on the boot path

        config = self._config
        return ServedHandovers(
            token=self.token,
            google=config.google.handover == "metadata",
            intercepted=config.workers.intercept,
            imdsv1=config.workers.intercept_imdsv1,
            project=config.google.project,
            region=config.aws.region,
        )

    def view(self, credential_set: CredentialSet) -> WorkerView:
        """Return what a worker does with its environment now."""
        return worker_environment(credential_set, self._plan())

    def document(
        self, credential_set: CredentialSet, *, settled: bool, required: frozenset[Slot], public_key: str
    ) -> dict[str, Any]:
        """Return the set as workers get it over the socket: the same object until something in it is another."""
        plan, audience = self._plan(), self._config.agent.audience
        made_of = (credential_set, plan, settled, required, audience, public_key)
        if self._document is None or self._document[0] != made_of:
            view = worker_environment(credential_set, plan)
            document = set_document(
                credential_set, view, settled=settled, required=required, audience=audience, public_key=public_key
            )
            self._document = (made_of, document)
        return self._document[1]

    def credential_process(self, credential_set: CredentialSet) -> dict[str, object] | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        return credential_process(credential_set.aws) if isinstance(credential_set.aws, Held) else None

    def write(self, credential_set: CredentialSet) -> None:
        """Put the present set where files are read, and remember what was handed out. Never raises.

        A full disk must not take away what is in force: workers that ask still get it, and status shows the error.
        """
        content = credential_set.environment
        if isinstance(content, Held) and isinstance(content.credentials, Variables):
            self._names = runtime_folders.with_names(self._names, content.credentials.values)
        try:
            runtime_folders.prepare(self._config)  # they may have become somebody else's since the start
            path = self._config.workers.env_file
            of_this_boot = os.path.dirname(path) == self._config.agent.runtime_dir
            env_file.write(path, self.view(credential_set).environment, of_this_boot=of_this_boot)
            if self._env_file and self._env_file != path:
                _remove_former(self._env_file)
            self._env_file = path
            remembered = Remembered(
                generation=credential_set.generation,
                digest=digest_of(credential_set),
                names=self._names,
                env_file=path,
            )
            runtime_folders.remember(self._config, remembered)
        except CredagentError as error:
            self.error = error
            self._count("failed")
            log.error("handover_not_written", code=error.code, why=str(error), hint=error.hint)
        else:
            self.error = None
            self._count("written")

    def is_there(self) -> bool:
        """Tell whether the files that workers read are where they were written."""
        token = [self._token_file] if self.token is not None else []
        env_file = [self._env_file] if self._env_file and self.error is None else []
        return all(os.path.lexists(path) for path in (*token, *env_file))

    def restore(self, credential_set: CredentialSet) -> None:
        """Write the files that workers read where they are gone. Raises OutputError for the token."""
        if self.token is not None:
            from credagent.handover.http import endpoint_token  # noqa: PLC0415  not on the path of the default on AWS

            runtime_dir, access = self._config.agent.runtime_dir, self._settings().access
            endpoint_token.put_back(self.token, runtime_dir, users=access.users, groups=access.groups)
        self.write(credential_set)

    @property
    def _token_file(self) -> str:
        return f"{self._config.agent.runtime_dir}/token"

    def _plan(self) -> HandoverPlan:
        host, uri = "", ""
        if self.sockets:
            from credagent.handover.http import aws_endpoint, port_binding  # noqa: PLC0415  not on the path of the default on AWS

            host = str(port_binding.preferred(self.sockets))
            uri = f"http://{host}{aws_endpoint.PATH}" if self.token else ""
        config = self._config
        return HandoverPlan(
            aws=config.aws.handover,
            google=config.google.handover,
            region=config.aws.region,
            machine_region=self.machine_region(),
            endpoint_uri=uri,
            endpoint_token=self.token,
            endpoint_token_file=self._token_file if self.token else "",
            metadata_host=host,
            google_project=config.google.project,
            google_required=config.google.required,
            intercepted=config.workers.intercept,
            handed_out=frozenset(self._names),
        )


def _remove_former(env_file: str) -> None:
    """Remove worker.env where it is no longer written: nobody would renew what is in it, or take it back."""
    try:
        remove_own_file(env_file)
    except CredagentError as error:
        log.warning("former_env_file_stays", path=env_file, why=error.why, hint="it holds credentials: remove it")
