"""HTTP on loopback: what SDKs ask for credentials, and what machines ask for metrics. Answers come from memory.

A request takes this way: `connection` (bytes in) → `conversation` (requests) → `listeners` (whose it is, the set of the
moment) → `respond` (which service) → `refusals` (may this be asked) → `aws_endpoint`, `google_metadata_server` or
`ec2_metadata_server` (what is answered) → `connection` (bytes out).

- `aws_endpoint`: AWS container credentials
- `connection`: one TCP connection: deadlines, flow control, the end
- `conversation`: bytes received become bytes to send, without I/O
- `ec2_metadata_server`: EC2 instance metadata (IMDSv2) for intercepted connections
- `ec2_session_token`: the session tokens of IMDSv2
- `endpoint_token`: the endpoint's bearer token and its file
- `google_metadata_server`: Google's metadata server
- `listener`: what all connections of one listener share: who is let in, how many there may be, time-outs
- `listeners`: starts and ends the listeners of the agent
- `metrics_endpoint`: /metrics, /healthz and /readyz
- `port_binding`: takes the loopback ports
- `refusals`: every reason for which a request or a connection is refused
- `request`: the grammar and size limits of a request
- `respond`: the pure function from a request and a credential set to a response
- `response`: responses as bytes
- `tcp_access`: which uid may ask over TCP
- `tcp_peer_uid`: the uid that opened a TCP connection, by sock_diag
"""
