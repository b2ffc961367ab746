"""The main job, shown with real parts on this machine: a simulated cloud, the agent, and a real Dask cluster."""
