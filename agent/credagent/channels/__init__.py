"""Where bundles arrive, seen from the agent. CHANNELS.md describes them for users.

environment: a variable of the agent's own environment
factory: makes the channels that the configuration names
file: a path, watched
polling_schedule: how often a channel that cannot tell of changes is asked
pull_channel: what a channel is, and what it may hold
remote: channels that a cloud or a web server keeps
stdin: one line of standard input
systemd_credential: a credential that systemd passes
"""
