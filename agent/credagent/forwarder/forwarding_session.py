"""The object a person holds while forwarding: runs the forwarder's loop in a thread of its own, and ends it.

A thread, so that renewal goes on while the caller computes, and so that one object serves synchronous and asynchronous
clients. No rule is here.
"""

import asyncio
import atexit
import functools
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Self

from credagent.dask_cluster.dask_plugins import OWN_PROCESS
from credagent.errors import CredagentError, Unavailable
from credagent.forwarder.forwarding_status import ForwardingStatus, MachineStatus, as_html, as_line
from credagent.forwarder.known_machines import KnownMachines, Machine, MachineState
from credagent.forwarder.loop import ForwarderLoop
from credagent.forwarder.validity_after_withdrawal import HandedOut

START_S = 60.0
END_S = 15.0
EXIT_S = 3.0  # a person who leaves is not kept waiting


class Forwarding:
    """Forwarding to one cluster. Leaving the block, or `stop`, ends renewal and leaves what was delivered."""

    def __init__(
        self, forwarder: ForwarderLoop | None, sender_key: str, *, waits: bool, timeout_s: float = START_S
    ) -> None:
        """Begin. `forwarder` None: nothing is to do. `waits`: return when the machines that are there answered."""
        self._forwarder, self._sender_key, self._timeout_s = forwarder, sender_key, timeout_s
        self._loop = asyncio.new_event_loop()
        self._outcome: Future[None] = Future()
        if forwarder is None:
            self._outcome.set_result(None)
            return
        atexit.register(self._at_exit)
        threading.Thread(target=self._run, args=(forwarder,), name="credagent-forwarding", daemon=True).start()
        if waits:
            self.wait()

    def wait(self) -> None:
        """Wait until the machines that are there have answered. Raises what kept forwarding from beginning."""
        if self._forwarder is None:
            return
        try:
            self._call(self._forwarder.settled.wait(), self._timeout_s)
        except TimeoutError:
            self.stop()
            why = f"the cluster did not answer within {self._timeout_s:.0f} s"
            hint = "check the scheduler and the agents' logs, or give it longer: timeout="
            raise Unavailable("silent", why, what="forwarding", hint=hint) from None
        if self._outcome.done():
            try:
                self._outcome.result()
            except CredagentError as error:
                # Where it was raised, in another thread, helps nobody: what went wrong and what to do is all in it.
                raise error.with_traceback(None) from None

    @property
    def has_begun(self) -> bool:
        """Whether every machine that was there when it began has answered."""
        return self._forwarder is None or self._forwarder.has_begun

    def ended(self, timeout_s: float) -> bool:
        """Wait for up to `timeout_s`; say whether it has ended by itself. Raises the error that ended it."""
        try:
            self._outcome.result(timeout_s)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """End renewal. What was delivered stays, until it expires. Does nothing the second time."""
        self._end(lambda forwarder: forwarder.end(), END_S)

    def withdraw(self) -> ForwardingStatus:
        """Take it back wherever an agent answers, and end.

        The status says for each machine what was taken back, and until when a client that runs there may go on.
        """
        self._end(lambda forwarder: forwarder.withdraw(), END_S)
        return self.status()

    def status(self) -> ForwardingStatus:
        """Return how it is now."""
        if self._forwarder is None:
            return ForwardingStatus(state="own", sender_key=self._sender_key)
        known, now = self._forwarder.reconciler.machines, self._forwarder.renewal.found
        ends = [end for found in now.values() if (end := getattr(found.grant, "expires_at", None)) is not None]
        machines = tuple(_shown(hosts, known, self._forwarder) for hosts in known.shown())
        faults = [(fault.host, fault.fault) for fault in list(known.faults.values()) if fault.fault != OWN_PROCESS]
        return ForwardingStatus(
            state=self._forwarder.state,
            sender_key=self._sender_key,
            identity=", ".join(found.principal for found in now.values() if found.principal),
            expires_at=min(ends, default=None),
            machines=machines,
            faults=tuple(faults),
        )

    def __enter__(self) -> Self:
        """Return this; it has begun already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End renewal."""
        self.stop()

    def __await__(self) -> Generator[Any, None, Self]:
        """Wait for the first answers, without stopping the loop."""
        return self._begun().__await__()

    async def __aenter__(self) -> Self:
        """Wait for the first answers, without stopping the loop."""
        return await self._begun()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End renewal, without stopping the loop."""
        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        """Say who forwards, to how many machines, until when, and what is wrong with which."""
        return f"<Forwarding: {as_line(self.status())}>"

    def _repr_html_(self) -> str:
        """Show the status, as a notebook does."""
        return as_html(self.status())

    async def _begun(self) -> Self:
        await asyncio.to_thread(self.wait)
        return self

    def _run(self, forwarder: ForwarderLoop) -> None:
        try:
            self._loop.run_until_complete(forwarder.run())
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread, by `wait`
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)

    def _call(self, work: Any, timeout_s: float) -> None:  # noqa: ANN401  a coroutine
        """Run `work` in the forwarder's loop, and give up when the forwarder has ended."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._outcome.add_done_callback(lambda _outcome: waiting.cancel())
        try:
            waiting.result(timeout_s)
        except (asyncio.CancelledError, CancelledError, RuntimeError):
            return
        except BaseException:
            waiting.cancel()
            raise

    def _at_exit(self) -> None:
        """Tell the cluster that nobody answers any more, so that workers which start later do not wait for it."""
        self._end(lambda forwarder: forwarder.end(), EXIT_S)

    def _end(self, how: Callable[[ForwarderLoop], None], timeout_s: float) -> None:
        atexit.unregister(self._at_exit)
        if self._forwarder is None or self._outcome.done():
            return
        self._loop.call_soon_threadsafe(how, self._forwarder)
        if self._forwarder.state == "starting":  # nobody has anything yet: a cluster that is silent is not waited for
            timeout_s = EXIT_S
        try:
            self._outcome.result(timeout_s)
        except TimeoutError:
            return  # cut off: there is nobody to tell, and the thread ends with the process
        except Unavailable:
            return  # it never began, and that was said


def _shown(hosts: list[Machine], known: KnownMachines, forwarder: ForwarderLoop) -> MachineStatus:
    """Return one machine's status, of all the hosts that report its key: what is wrong first."""
    worst = next((machine for machine in hosts if machine.state is not MachineState.ADMITTED), hosts[0])
    key, revision = worst.report.key, forwarder.revision
    confirmed_at = max((one.confirmed_at for one in hosts if one.confirmed_at is not None), default=None)
    taken_back = sorted(revision.withdrawn) if all(one.confirmed == revision.number for one in hosts) else []
    handed_out = functools.reduce(HandedOut.and_then, (machine.handed_out for machine in hosts))
    return MachineStatus(
        host=worst.host,
        key_id=key.key_id if key is not None else "",
        state=worst.state.value,
        code=worst.code,
        ground=forwarder.ground(worst.report) if worst.trusted is not None else "",
        hint=worst.hint,
        processes=sum(len(known.addresses(machine)) for machine in hosts),
        confirmed_at=confirmed_at,
        taken_back=tuple(slot.value for slot in taken_back),
        usable_until=handed_out.usable_until(confirmed_at) if taken_back and confirmed_at is not None else None,
    )
