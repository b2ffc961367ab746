"""How workers get the credential set from the agent: over loopback HTTP and over the agent's own socket.

- `connection_limits`: how many connections a server has open, and how many of them one user may have
- `http/`: the loopback listeners: AWS container credentials, Google metadata, intercepted metadata requests, metrics
- `listening_sockets`: the sockets of an agent as one value, and how they are given to its successor
- `interception/`: the rule that redirects metadata requests of worker users to the loopback listeners
- `refused_callers`: who was refused, how often and when last
- `unix/`: agent.sock: sets, status, renewals, deliveries
"""
