"""`make compatibility`: which Dask and which Python were seen to work, measured, and written into COMPATIBILITY.md.

environments: the releases of distributed and the Pythons, installed into build/compatibility
in_cluster: what is done as a Dask client, by the Python and the Dask of the cluster (imports nothing of credagent)
story: one cluster of one environment, and each thing that is tried on it
table: the page
"""
