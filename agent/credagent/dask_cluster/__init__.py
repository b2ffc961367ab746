"""Everything that speaks with a Dask cluster: addresses, messages, questions, and the plugins that answer them.

agent_report: what a process of the cluster says of the agent on its machine, read from untrusted values
answer_limits: how each kind of answer is decoded, and the bytes, items and seconds that it may take
credentials_page: the page Credentials in Dask's dashboard, and its JSON (travels as source to the scheduler)
dask_objects: the address and certificates of a Dask client or cluster object
dask_plugins: what runs in workers and in the scheduler (travels as source, imports nothing of credagent)
dask_protocol: Dask's messages over one TCP or TLS connection, read without Dask
deliver_to_cluster: one sealed bundle to every machine of a cluster, once
plugin_pickle: packs the plugins as source, so that workers need neither credagent nor the same Python
scheduler_address: where a scheduler is
scheduler_client: the questions that are put to a scheduler and, through it, to its workers
"""
