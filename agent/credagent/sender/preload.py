"""The address under which users' Dask configurations name the client preload. It stays; the code is in `forwarder`."""

from credagent.forwarder.client_preload import setup, teardown

__all__ = ["setup", "teardown"]
