"""The short-lived process that asks clouds, and alone imports an SDK; its caller, and what the two say to each other.

In the agent, without an SDK:

- `helper_call`: starts a helper, gives it a request, waits for the reply; its two times (deadline and own work)
- `helper_progress`: what a helper has used of its two times
- `helper_protocol`: requests and replies as bytes
- `job_requests`, `job_responses`: what may be asked, and what comes back
- `environment`: the environment that a helper gets

In the helper:

- `__main__`: reads a request, writes a reply
- `progress`: says when the helper asks and when it works by itself
- `job_dispatch`: which module serves which request
- `failures`: every code with its text, hint and whether asking again can help
- `machine_vendor`: whose machine this is, by its firmware

Folders: `aws`, `google` (identities), `attestation` (proofs), `kms` (keys), `channel_storage` (what keeps bundles),
`http` (requests without an SDK).
"""
