"""What is wrong with a node, or with a cluster seen from its sender: facts in, findings out. Nothing is asked here.

agent_checks: the configuration, the agent itself, its units, folders, files and ports
bundle_checks: refused bundles, the clock, and what each slot holds or lacks
cluster_checks: what each process of a Dask cluster said of its agent, from the sender's side
diagnosis: the table of checks, what is only an echo of another finding, and the notes
facts: what was seen of a node
findings: a finding, its gravity, and what follows from it
remedies: commands to be typed on this node
worker_checks: Dask processes, what shadows the credentials in them, who was refused, and ways past the agent
"""
