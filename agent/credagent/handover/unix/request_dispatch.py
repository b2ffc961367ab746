"""What agent.sock answers to a request, and to whom. Answers come from an `Agent`, from memory; no connection here."""

from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, Protocol, assert_never

from msgspec import Struct

from credagent.credentials import Slot
from credagent.errors import PermissionRefused, Unavailable
from credagent.handover.unix.caller_access import AccessRules, Caller
from credagent.handover.unix.protocol import (
    Applied,
    Deliver,
    GetCredentialProcess,
    GetIdentity,
    GetSet,
    GetStatus,
    Renew,
    Request,
    Role,
    Subscribe,
    encode,
)

Document = Mapping[str, object]


class AgentOperations(Protocol):
    """What is asked of the agent. Documents lack nothing but `ok`; the two that take time may raise CredagentError."""

    def worker_document(self) -> Document:
        """Return what workers see now (`socket_protocol.set_document`)."""
        ...

    def status(self) -> Document:
        """Return the status document."""
        ...

    def identity(self) -> Document:
        """Return `public_key` and `audience`."""
        ...

    def credential_process(self) -> Document | None:
        """Return the AWS `credential_process` document, None for an empty slot."""
        ...

    async def renew(self, slot: Slot | None) -> Document:
        """Try to renew one slot, or all; return `slots`, slot to outcome."""
        ...

    async def deliver(self, bundle: str, caller: Caller) -> Document:
        """Admit a sealed bundle; return `outcome` and `bundle_id`."""
        ...


class Subscriber(Struct, frozen=True, kw_only=True):
    """A process that is kept supplied. `generation` None: nothing was applied yet."""

    pid: int
    uid: int
    role: Role
    generation: int | None
    since: datetime


def set_line(agent: AgentOperations) -> bytes:
    """Return the present set as a line."""
    return encode({"ok": True, **agent.worker_document()})


def answer(
    agent: AgentOperations, admission: AccessRules, caller: Caller, request: Request
) -> Document | Coroutine[Any, Any, Document]:
    """Return the answer, or what will give it. Raises CredagentError where there is none for this caller.

    `Subscribe` is answered with the set of the moment; keeping the subscriber supplied is the server's part.
    """
    match request:
        case Deliver():
            _require(allowed=admission.may_deliver(caller), to="deliver bundles", see="bundle.deliver_users")
            return agent.deliver(request.bundle, caller)
        case GetIdentity():
            return agent.identity()
        case _:
            _require(allowed=admission.may_ask(caller), to="ask for credentials", see="workers.users, workers.groups")
    match request:
        case Subscribe() | GetSet() | Applied():
            return agent.worker_document()
        case GetStatus():
            return agent.status()
        case Renew():
            return agent.renew(request.slot)
        case GetCredentialProcess():
            return _credential_process(agent)
        case _:
            assert_never(request)


def unwelcome(admission: AccessRules, caller: Caller) -> PermissionRefused | None:
    """Return why `caller` may not even connect, None for one that may."""
    if admission.may_connect(caller):
        return None
    why = f"user {caller.uid} is not allowed on the socket"
    return PermissionRefused("not-allowed", why, hint="add the user to [workers] users, or to one of its groups")


def _credential_process(agent: AgentOperations) -> Document:
    document = agent.credential_process()
    if document is None:
        raise Unavailable("no-credentials", "the aws slot is empty", hint="credagent status says why")
    return {"document": document}


def _require(*, allowed: bool, to: str, see: str) -> None:
    if not allowed:
        raise PermissionRefused("not-allowed", f"this user is not allowed to {to}", hint=f"see {see}")
