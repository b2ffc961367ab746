"""The composition root of the agent: its parts, put together, started, kept going, and ended in order.

agent: the parts, put together without an event loop; a reload replaces their settings
agent_api: what the agent answers on its socket
agent_settings: what the configuration says to each part, as one frozen value
channel_follower: follows the channels, and brings what they hold to the resolver
config_reread: what a reload takes from the configuration
failed_start: keeps the service manager's ports where a start has failed, and says why
folder_supervisor: brings folders, sockets and files back where somebody took them away
interception_check: whether the rules of interception are loaded
machine_attestation: what the machine's cloud says of its key, for senders that ask
main_loop: serves, renews, reloads, reports, and ends
process_look: what only the kernel knows of processes: memory, and who has ended
run_once: one resolution without a daemon
runtime_folders: the folders, their locks, and what a restart must remember
socket_supervisor: the agent's Unix sockets while it runs
startup: boots, reports ready, and only then loads the event loop
status_cache: values that are made anew at most once a second
worker_handover: what workers get, and where it is written
"""
