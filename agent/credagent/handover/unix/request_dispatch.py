"""Which operation of the agent answers which request of agent.sock. Answers come from memory; no connection here."""

import socket
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, Protocol, assert_never

from msgspec import Struct

from credagent.credentials import Slot
from credagent.errors import Refused, Unavailable
from credagent.handover.unix.caller_access import AccessRules, require_right
from credagent.handover.unix.peer_credentials import Caller
from credagent.handover.unix.protocol import (
    Applied,
    Attest,
    Deliver,
    GetCredentialProcess,
    GetIdentity,
    GetProcesses,
    GetSet,
    GetSockets,
    GetStatus,
    ProcessReport,
    Renew,
    Request,
    Role,
    Subscribe,
)

Document = Mapping[str, object]


class AgentOperations(Protocol):
    """What is asked of the agent. Documents lack nothing but `ok`; those that take time may raise CredagentError."""

    def worker_document(self) -> Document:
        """Return what workers see now (`protocol.set_document`): the same object for as long as it says the same."""
        ...

    async def status(self) -> Document:
        """Return the status document."""
        ...

    def processes(self, pid: int | None) -> Document:
        """Return `processes`: what subscribers have reported of themselves, of `pid` or of the first ones."""
        ...

    def identity(self) -> Document:
        """Return `public_key` and `audience`."""
        ...

    async def attest(self, *, by_role: bool) -> Document:
        """Return `attestation`, made by the machine's role if `by_role`."""
        ...

    def credential_process(self) -> Document | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        ...

    def pass_sockets(self, connection: socket.socket) -> None:
        """Send the agent's `listening_sockets`. Raises Refused where nobody takes its place, and OSError."""
        ...

    async def renew(self, slot: Slot | None) -> Document:
        """Try to renew one slot, or all; return `slots`, slot to outcome."""
        ...

    async def deliver(self, bundle: str, caller: Caller) -> Document:
        """Admit a sealed bundle; return `outcome` and `bundle_id`."""
        ...


class Subscriber(Struct, frozen=True, kw_only=True):
    """A process that is kept supplied. None: it has applied (`generation`), or reported (`process`), nothing yet."""

    pid: int
    uid: int
    role: Role
    generation: int | None
    since: datetime
    process: ProcessReport | None = None


def answer(
    agent: AgentOperations, rules: AccessRules, caller: Caller, request: Request
) -> Document | Coroutine[Any, Any, Document]:
    """Return the answer, or what will give it. Raises CredagentError where there is none for this caller.

    `Subscribe` is answered with the set of the moment; keeping the subscriber supplied is the connection's part.
    """
    require_right(rules, caller, request)
    match request:
        case Deliver():
            return agent.deliver(request.bundle, caller)
        case GetIdentity():
            return agent.identity()
        case Subscribe() | GetSet() | Applied():
            return agent.worker_document()
        case Attest():
            return agent.attest(by_role=request.by_role)
        case GetStatus():
            return agent.status()
        case GetProcesses():
            return agent.processes(request.pid)
        case Renew():
            return agent.renew(request.slot)
        case GetCredentialProcess():
            return _credential_process(agent)
        case GetSockets():
            raise Refused("bad-request", "sockets are sent by the connection itself", hint="update the client")
        case _:
            assert_never(request)


def _credential_process(agent: AgentOperations) -> Document:
    document = agent.credential_process()
    if document is None:
        raise Unavailable("no-credentials", "the aws slot is empty", hint="credagent status says why")
    return {"document": document}
