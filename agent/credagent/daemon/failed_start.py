"""A daemon whose start has failed while the service manager holds its ports: it stays, refuses, and says why.

Ended, it would be started again by each connection to its ports, until systemd gives up on the service and on the
socket unit: then the ports are free for any other user, and a start after the mend is refused (systemd.unit(5),
StartLimitBurst=). Here it waits for a reload, and tries by itself now and then: a disk may have room again.
"""

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from credagent import __version__, log
from credagent.config.channel_grammar import SOCKET_NAME
from credagent.credentials import Empty, Slot
from credagent.errors import CredagentError, Unavailable
from credagent.handover.unix import socket_file
from credagent.handover.unix.caller_access import AccessRules
from credagent.handover.unix.peer_credentials import Caller
from credagent.operations.observability.status_document import AgentSnapshot, SlotSnapshot, Snapshot, document
from credagent.operations.systemd import notify

if TYPE_CHECKING:
    import asyncio

AGAIN_S = 30.0  # between two tries without a reload
SOON_S = 2.0  # where another agent holds the folders: it may be a `run --once` that ends in a moment
REQUEST_S = 5.0  # for the head of a request that is refused whatever it asks for
HEAD_BYTES = 16 * 1024


def wait_for_another_try(error: CredagentError, sockets: Sequence[socket.socket], environ: Mapping[str, str]) -> bool:
    """Refuse on `sockets` until it is worth trying again (True), or until the daemon is told to end (False)."""
    import asyncio  # noqa: PLC0415  a start that succeeds has answered before it loads the loop

    log.start()
    log.error("start_failed", code=error.code, why=str(error), hint=error.hint)
    notify.ready(f"unavailable: {error.code}: {error}", environ)
    return asyncio.run(_refuse(error, sockets, environ))


class FailedAgent:
    """Satisfies the socket's `AgentOperations`: the status says why the start failed, everything else is refused."""

    def __init__(self, error: CredagentError) -> None:
        """Answer with `error`."""
        self._error, self._since = error, datetime.now(UTC)

    async def status(self) -> dict[str, Any]:
        """Return the status document of an agent that has nothing: `unavailable`, with the code as its problem."""
        nothing = SlotSnapshot(content=Empty(may_fall_back=False), tried=True)
        return document(
            Snapshot(
                now=datetime.now(UTC),
                since=self._since,
                generation=0,
                audience="",
                public_key=None,
                slots=dict.fromkeys(Slot, nothing),
                bundle_required=True,
                standing_errors=(self._error.code,),
                agent=AgentSnapshot(version=__version__, pid=os.getpid(), uptime_s=0.0),
            )
        )

    def worker_document(self) -> NoReturn:
        """Refuse."""
        self._refuse()

    def processes(self, pid: int | None) -> NoReturn:  # noqa: ARG002  every process alike
        """Refuse."""
        self._refuse()

    def identity(self) -> NoReturn:
        """Refuse."""
        self._refuse()

    def credential_process(self) -> NoReturn:
        """Refuse."""
        self._refuse()

    def pass_sockets(self, connection: socket.socket) -> NoReturn:  # noqa: ARG002  whoever asks
        """Refuse."""
        self._refuse()

    async def attest(self, *, by_role: bool) -> NoReturn:  # noqa: ARG002  every proof alike
        """Refuse."""
        self._refuse()

    async def renew(self, slot: Slot | None) -> NoReturn:  # noqa: ARG002  every slot alike
        """Refuse."""
        self._refuse()

    async def deliver(self, bundle: str, caller: Caller) -> NoReturn:  # noqa: ARG002  every bundle alike
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        error = self._error
        raise Unavailable(error.code, error.why, what=f"the agent could not start: {error.what}", hint=error.hint)


async def _refuse(error: CredagentError, sockets: Sequence[socket.socket], environ: Mapping[str, str]) -> bool:
    import asyncio  # noqa: PLC0415  a start that succeeds has answered before it loads the loop

    again, end = asyncio.Event(), asyncio.Event()
    again_s = SOON_S if isinstance(error, Unavailable) else AGAIN_S
    loop = asyncio.get_running_loop()
    actions = {signal.SIGHUP: again.set, signal.SIGTERM: end.set, signal.SIGINT: end.set}
    for number, act in actions.items():
        loop.add_signal_handler(number, act)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, actions)
    try:
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(_refuse_http(error, one)) for one in sockets]
            serving.append(group.create_task(_tell_status(error, environ)))
            serving.append(group.create_task(_feed_the_watchdog()))
            waiting = [asyncio.create_task(event.wait()) for event in (again, end)]
            await asyncio.wait(waiting, timeout=again_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (*serving, *waiting):
                task.cancel()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGTERM))  # until somebody acts on them again
        for number in actions:
            loop.remove_signal_handler(number)
    if end.is_set():
        notify.stopping(environ)
    return not end.is_set()


async def _refuse_http(error: CredagentError, sock: socket.socket) -> None:
    """Answer every request on one of the ports: the agent has nothing, and its log says why."""
    import asyncio  # noqa: PLC0415  a start that succeeds has answered before it loads the loop

    from credagent.handover.http.response import refusal  # noqa: PLC0415  only where a start has failed

    answer = refusal(503, error.code, "the agent could not start: its log and its status say why").payload

    async def refuse(reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter") -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_S):
                await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, sock=sock.dup(), limit=HEAD_BYTES)  # the port itself stays open
    async with server:
        await server.serve_forever()


async def _tell_status(error: CredagentError, environ: Mapping[str, str]) -> None:
    """Answer on agent.sock where the folder is known that the service manager made for it."""
    import asyncio  # noqa: PLC0415  a start that succeeds has answered before it loads the loop

    from credagent.handover.unix.server import SocketServer  # noqa: PLC0415  only where a start has failed

    folder = environ.get("CREDAGENT_AGENT_RUNTIME_DIR") or environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    try:
        bound = socket_file.bind(f"{folder}/{SOCKET_NAME}") if folder.startswith("/") else None
    except CredagentError:
        return  # another agent answers there, or the folder is what is wrong
    if bound is None:
        return
    access, _ = AccessRules.resolve(users=(), groups=(), deliver_users=(), own_uid=os.geteuid())
    server = SocketServer(FailedAgent(error), access)
    try:
        await server.start(bound.sock)
        await asyncio.Event().wait()
    finally:
        await server.finish()
        bound.close()


async def _feed_the_watchdog() -> None:
    import asyncio  # noqa: PLC0415  a start that succeeds has answered before it loads the loop

    interval = notify.watchdog_interval_s()
    while interval is not None:
        notify.alive()
        await asyncio.sleep(interval)
