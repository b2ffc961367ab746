"""agent.sock: how workers, commands and Dask's plugin talk to the agent on their machine. One JSON object a line.

- `agent_client`: questions to the agent that runs here, and its refusals as errors
- `agent_place`: where it listens, without the whole configuration, and whether it ends with an `exec`
- `caller_access`: who may ask and deliver, who is refused, with which code, and what is logged of it
- `connection`: one connection as one task: requests in, answers out, in order
- `peer_credentials`: who is calling, as the kernel says
- `protocol`: the grammar of requests and answers, and their largest sizes
- `rate_limits`: how often one user may ask for what is costly
- `request_dispatch`: which operation of the agent answers which request
- `server`: accepts connections and tells subscribers of new sets
- `socket_file`: the socket as a file: bound, replaced when stale, removed
"""
