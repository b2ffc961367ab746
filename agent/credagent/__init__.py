"""credagent: the credential agent for Dask clusters. Importing this alone loads next to nothing."""

__version__ = "0.1.0"
