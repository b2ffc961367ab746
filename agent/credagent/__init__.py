"""credagent: the credential agent for Dask clusters. Importing this alone loads next to nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credagent.sender.forwarding.forward import forward_credentials

__version__ = "0.1.0"
__all__ = ["__version__", "forward_credentials"]


def __getattr__(name: str) -> object:
    if name == "forward_credentials":
        # The agent on a cluster machine imports this package too, and never forwards.
        from credagent.sender.forwarding.forward import forward_credentials  # noqa: PLC0415

        return forward_credentials
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
