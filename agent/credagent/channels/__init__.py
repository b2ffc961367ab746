"""Where bundles arrive, seen from the agent. CHANNELS.md describes them for users.

environment: a variable of the agent's own environment
factory: makes the channels that the configuration names
file: a path, watched
polled_channel: channels that a cloud or a web server keeps, asked by a helper process
polling_schedule: how often a channel that cannot tell of changes is asked
pull_channel: what a channel is, and what it may hold
stdin: one line of standard input
systemd_credential: a credential that systemd passes
"""
