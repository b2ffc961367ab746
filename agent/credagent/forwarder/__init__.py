"""Forwarding over a running cluster's Dask connection."""
