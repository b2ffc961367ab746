"""Facts about one agent, as documents for people, orchestrators and Prometheus. Pure: whoever asks collects the facts.

home_credential_files: files in a user's home that cloud libraries prefer to what workers are handed
process_identity: what a cloud library in a process would sign with, and what stands before it
prometheus_text: counters and a snapshot in Prometheus' text format
readiness: alive and ready, for load balancers and orchestrators
status_troubles: what is wrong by a status document, with consequence and remedy
status_document: the snapshot of an agent, its state, and the stable document of `status --json`
"""
