"""What this machine's workers get, and where: the plan of all handovers, worker.env, the loopback ports and the token.

Rendering is in worker_environment/rendering; who may ask is decided by the servers.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from credagent import log
from credagent.config import Config
from credagent.credentials import CredentialSet, Held, Slot, Variables
from credagent.daemon import runtime_folders
from credagent.daemon.runtime_folders import Remembered
from credagent.errors import CredagentError
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.protocol import set_document
from credagent.secret import Secret
from credagent.system.file_writing import remove_own_file
from credagent.worker_environment import env_file
from credagent.worker_environment.rendering import HandoverPlan, WorkerView, worker_environment
from credagent.worker_environment.vendor_documents import credential_process


class WorkerHandover:
    """Renders the present set for this machine. `sockets` are bound, not served; the loop serves them."""

    def __init__(self, config: Config, admission: AccessRules, *, remembered: Remembered) -> None:
        """Hand over as `config` says."""
        self.config, self.admission = config, admission
        self.sockets: list[socket.socket] = []
        self.metrics: list[socket.socket] = []
        self.token: Secret | None = None
        self.machine_region: Callable[[], str] = str
        self.error: CredagentError | None = None
        self._names, self._env_file = frozenset(remembered.names), remembered.env_file
        self._written: tuple[Mapping[str, Secret], ...] = ()

    def bind(self, given: list[socket.socket]) -> None:
        """Take the loopback ports, and the token, where a handover needs them; and the one for metrics if wanted."""
        if self.config.endpoint.metrics is not None:
            from credagent.handover.http import port_binding  # noqa: PLC0415  as below

            self.metrics = port_binding.bind([self.config.endpoint.metrics])
        if not self.needs_ports:
            return
        from credagent.handover.http import endpoint_token, port_binding  # noqa: PLC0415  not on the path of the default on AWS

        self.sockets = port_binding.bind(self.config.endpoint.listen, given=given)
        if self.config.aws.handover == "endpoint":
            self.token = endpoint_token.load_or_make(
                self.config.agent.runtime_dir, users=self.admission.users, groups=self.admission.groups
            )

    @property
    def needs_ports(self) -> bool:
        """Whether workers ask over loopback."""
        return self.config.aws.handover == "endpoint" or self.config.google.handover == "metadata"

    def view(self, credential_set: CredentialSet) -> WorkerView:
        """Return what a worker does with its environment now."""
        return worker_environment(credential_set, self._plan())

    def document(
        self, credential_set: CredentialSet, *, settled: bool, required: frozenset[Slot], public_key: str
    ) -> dict[str, Any]:
        """Return the set as workers get it over the socket."""
        return set_document(
            credential_set,
            self.view(credential_set),
            settled=settled,
            required=required,
            audience=self.config.agent.audience,
            public_key=public_key,
        )

    def credential_process(self, credential_set: CredentialSet) -> dict[str, object] | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        return credential_process(credential_set.aws) if isinstance(credential_set.aws, Held) else None

    def write(self, credential_set: CredentialSet) -> None:
        """Put the present set where files are read, and remember what was handed out. Never raises.

        A full disk must not take away what is in force: workers that ask still get it, and status shows the error.
        """
        content = credential_set.environment
        if isinstance(content, Held) and isinstance(content.credentials, Variables):
            self._names |= frozenset(content.credentials.values)
        try:
            path = self.config.workers.env_file
            env_file.write(path, self.view(credential_set).environment)
            if self._env_file and self._env_file != path:
                _remove_former(self._env_file)
            self._env_file, names = path, tuple(sorted(self._names))
            remembered = Remembered(generation=credential_set.generation, names=names, env_file=path)
            runtime_folders.remember(self.config, remembered)
        except CredagentError as error:
            self.error = error
            log.error("handover_not_written", code=error.code, why=str(error), hint=error.hint)
        else:
            self.error = None

    def _plan(self) -> HandoverPlan:
        host, uri = "", ""
        if self.sockets:
            from credagent.handover.http import aws_endpoint, port_binding  # noqa: PLC0415  as above

            host = str(port_binding.preferred(self.sockets))
            uri = f"http://{host}{aws_endpoint.PATH}" if self.token else ""
        config = self.config
        return HandoverPlan(
            aws=config.aws.handover,
            google=config.google.handover,
            region=config.aws.region,
            machine_region=self.machine_region(),
            endpoint_uri=uri,
            endpoint_token=self.token,
            endpoint_token_file=f"{config.agent.runtime_dir}/token" if self.token else "",
            metadata_host=host,
            google_project=config.google.project,
            google_required=config.google.required,
            handed_out=self._names,
        )


def _remove_former(env_file: str) -> None:
    """Remove worker.env where it is no longer written: nobody would renew what is in it, or take it back."""
    try:
        remove_own_file(env_file)
    except CredagentError as error:
        log.warning("former_env_file_stays", path=env_file, why=error.why, hint="it holds credentials: remove it")


def admission_of(config: Config) -> AccessRules:
    """Return who may ask on this machine; names that do not exist here are said once."""
    admission, missing = AccessRules.resolve(
        users=config.workers.users,
        groups=config.workers.groups,
        deliver_users=config.bundle.deliver_users,
        own_uid=os.geteuid(),
    )
    if missing:
        log.info("users_or_groups_missing", names=list(missing))
    return admission
