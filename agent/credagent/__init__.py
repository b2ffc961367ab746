"""credagent: the credential agent for Dask clusters. Importing this alone loads next to nothing."""

TYPE_CHECKING = False  # as type checkers know it; `typing` takes longer than all that a bare import loads

if TYPE_CHECKING:
    from credagent.forwarder.forward_credentials import forward_credentials
    from credagent.sender.cloudprovider_options import cloudprovider_options
    from credagent.sender.jobqueue_options import jobqueue_options

__version__ = "0.1.0"
__all__ = ["__version__", "cloudprovider_options", "forward_credentials", "jobqueue_options"]


def __getattr__(name: str) -> object:
    if name == "forward_credentials":
        # The agent on a cluster machine imports this package too, and never forwards.
        from credagent.forwarder.forward_credentials import forward_credentials  # noqa: PLC0415  the bare import stays light

        return forward_credentials
    if name == "cloudprovider_options":
        from credagent.sender.cloudprovider_options import cloudprovider_options  # noqa: PLC0415  the bare import stays light

        return cloudprovider_options
    if name == "jobqueue_options":
        from credagent.sender.jobqueue_options import jobqueue_options  # noqa: PLC0415  the bare import stays light

        return jobqueue_options
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
