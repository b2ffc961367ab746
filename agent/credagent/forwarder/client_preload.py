"""The client preload that `credagent forward --install` names: forwards for each client that reaches other machines.

It runs in the user's own processes and must never break one: whatever goes wrong is one line on stderr. It does nothing
inside a worker or a scheduler, for a client without a network, or where its user never asked for it.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credagent.forwarder.forwarding_session import Forwarding

PATIENCE_S = 15.0  # a client that starts waits so long for the machines' first answers, and then goes on without

OPTIONS = "credagent.forward"  # in Dask's configuration: arguments of `forward_credentials`


_running: "dict[int, Forwarding]" = {}  # by the client's id: Dask gives a preload nowhere to keep anything


async def dask_setup(client: Any) -> None:  # noqa: ANN401  Dask's objects have no types here
    """Begin to forward for `client` with what `--install` has written into Dask's configuration, as Dask calls it."""
    from dask import config  # noqa: PLC0415  nothing for those who only import

    await setup(client, config.get(OPTIONS, {}))


async def setup(client: Any, options: Mapping[str, Any]) -> None:  # noqa: ANN401  Dask's objects have no types here
    """Begin to forward for `client`, unless it is not this process's to do."""
    import asyncio  # noqa: PLC0415  nothing for those who only import

    from credagent.dask_cluster.dask_objects import is_own  # noqa: PLC0415  nothing for those who only import
    from credagent.forwarder.client_preload_install import installed  # noqa: PLC0415  nothing for those who only import

    if inside_dask() or is_own(client) or not installed(os.environ):
        return
    try:
        if not _is_meant(client, options.get("scheduler")):
            return
        forwarding = await asyncio.to_thread(_begin, client, options)
        _running[id(client)] = forwarding
        await asyncio.wait_for(asyncio.to_thread(forwarding.wait), PATIENCE_S)
    except TimeoutError:
        _say(f"the machines have not answered within {PATIENCE_S:.0f} s; forwarding goes on")
    except Exception as error:  # noqa: BLE001  a client that cannot forward is still a client
        _say(f"nothing is forwarded: {_reason(error)}")


async def teardown(client: Any) -> None:  # noqa: ANN401  Dask's objects have no types here
    """End renewal with the client."""
    import asyncio  # noqa: PLC0415  nothing for those who only import

    forwarding = _running.pop(id(client), None)
    if forwarding is not None:
        with contextlib.suppress(RuntimeError):  # a process that ends starts no thread, and forwarding ends at exit
            await asyncio.to_thread(forwarding.stop)


dask_teardown = teardown


def inside_dask() -> bool:
    """Tell a worker's or scheduler's process, and one that an agent supplies, from a person's own."""
    for module, kind in (("distributed.worker", "Worker"), ("distributed.scheduler", "Scheduler")):
        found = getattr(sys.modules.get(module), kind, None)
        if any(getattr(one, "status", None) is not None for one in getattr(found, "_instances", ())):
            return True
    return "CREDAGENT_SOCKET" in os.environ


def _begin(client: Any, options: Mapping[str, Any]) -> "Forwarding":  # noqa: ANN401  Dask's objects have no types here
    from credagent.forwarder.forward_credentials import forward_credentials  # noqa: PLC0415  nothing for those who only import

    wanted = {name: value for name, value in options.items() if name != "scheduler"}
    # Each script of a person begins one: that of a longer-lived process is not replaced by that of a shorter-lived one.
    return forward_credentials(Asynchronous(client), say=_say, quiet=True, stand_by=True, **wanted)


def _is_meant(client: Any, scheduler: str | None) -> bool:  # noqa: ANN401  Dask's objects have no types here
    """Tell whether `client` reaches the cluster that was named, where one was."""
    from credagent.dask_cluster import dask_objects, scheduler_address  # noqa: PLC0415  nothing for those who only import

    if scheduler is None:
        return True
    place = dask_objects.whereabouts(Asynchronous(client))()
    wants_tls = scheduler.startswith("tls://")
    return wants_tls == (place.scheme == "tls") and scheduler_address.parse(scheduler, place.context).text == place.text


class Asynchronous:
    """A client as forwarding sees it, for whom nothing may wait: it is only just starting."""

    asynchronous = True

    def __init__(self, client: Any) -> None:  # noqa: ANN401  Dask's objects have no types here
        """Show where the client's scheduler is, and by which certificates it is reached."""
        self.cluster = getattr(client, "cluster", None)
        self.scheduler = getattr(client, "scheduler", None)
        self.security = getattr(client, "security", None)


def _reason(error: Exception) -> str:
    """Return an error of ours in words; of any other the name alone, since its text may hold what it likes."""
    from credagent.errors import CredagentError  # noqa: PLC0415  nothing for those who only import

    return str(error) if isinstance(error, CredagentError) else type(error).__name__


def _say(text: str) -> None:
    sys.stderr.write(f"credagent: {text}\n")
