"""Keeping a running Dask cluster supplied with the identity of this machine.

forward_credentials: the Python function, and how forwarding begins
forwarding_session: the object a person holds; runs the loop in a thread of its own
forwarding_status: what it tells of itself, as values and as tables for people
loop: connect, ask, deliver, wait; and again when the connection is lost
sender_attestation: the sender's own attestation beside a bundle
forwarding_plan: what is forwarded to which cluster, as one frozen value
identity_renewal: the sender's identity over time
bundle_revision: one state of the identity, sealed once for each recipient
machine_reconciler: asks all machines and delivers what they lack
known_machines: one frozen record for each machine, and the function that replaces it
validity_after_withdrawal: until when a running client may go on with what was taken back
attested_machines: what clouds say of the machines' keys
forwarded_accounts: whose machines are one's own, by the identity that is forwarded
key_trust: the one judge of whether a machine's key and audience may be sealed to
waiting_workers: answers workers that wait for a bundle before their first task
competing_forwarders: when a forwarder gives way to another, or stands by for it
user_notices: what a person reads meanwhile
client_preload: the preload for all of a user's Dask clients
client_preload_install: writes that preload into the user's Dask configuration
"""
