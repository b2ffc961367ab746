"""What is read from a Dask client or cluster object: its address, certificates, and whether it is asynchronous."""

import ssl
from collections.abc import Callable
from typing import Any

from credagent.dask_cluster import scheduler_address
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.errors import UsageError


def whereabouts(target: object) -> Callable[[], SchedulerAddress]:
    """Return what tells where the scheduler of `target` is: a client, a cluster, or an address.

    A cluster is asked anew each time: its scheduler may have come back elsewhere. What it said last stands for an
    object that was closed since.
    """
    if isinstance(target, str):
        place = scheduler_address.parse(target)
        return lambda: place
    source = getattr(target, "cluster", None) or target
    context = _context(target) or _context(source)
    last = _address(source) or _address(target)
    if not last:
        why = "is neither a Dask client nor a cluster that runs"
        hint = "give a client, a cluster, or the scheduler's address, such as tls://scheduler:8786"
        raise UsageError("not-a-cluster", why, what=type(target).__name__, hint=hint)

    def now() -> SchedulerAddress:
        return scheduler_address.parse(_address(source) or last, context)

    return now


def is_asynchronous(target: object) -> bool:
    """Tell whether waiting here would stop the loop in which the cluster itself runs."""
    return bool(getattr(target, "asynchronous", False))


def is_closed(target: object) -> bool:
    """Tell whether a client was closed. Of anything else it is not known."""
    return getattr(target, "status", None) == "closed"


def is_own(target: object) -> bool:
    """Tell a LocalCluster: its workers are this user's processes on this machine and have the identity already."""
    candidates = (target, getattr(target, "cluster", None))
    names = {kind.__name__ for candidate in candidates for kind in type(candidate).__mro__}
    return "LocalCluster" in names or _address(target).startswith("inproc:")


def _address(source: Any) -> str:  # noqa: ANN401  Dask's objects have no types here
    found = getattr(source, "scheduler_address", None) or getattr(getattr(source, "scheduler", None), "address", None)
    return found if isinstance(found, str) else ""


def _context(source: Any) -> ssl.SSLContext | None:  # noqa: ANN401  Dask's objects have no types here
    security = getattr(source, "security", None)
    if security is None or not hasattr(security, "get_connection_args"):
        return None
    found = security.get_connection_args("client").get("ssl_context")
    return found if isinstance(found, ssl.SSLContext) else None
