"""AWS identities, asked in the helper process.

- `machine_identity`: the machine's own; tries the three that follow in AWS's order
- `web_identity`: a role by a token file (EKS)
- `container_credentials`: of a task or pod (ECS, EKS)
- `instance_metadata`: the instance's role; region
- `imds_client`: the session with instance metadata, which user data uses too
- `credential_document`: what the last two answer, and whether its expiry makes sense
- `local_identity`: the sender's own, made into a session
- `assume_role`: a role, from either
- `sts_session`: what STS is told and answers
- `caller_identity`: whose credentials these are
- `clients`: botocore clients with explicit credentials and short times
- `errors`: botocore's exceptions and AWS's codes as failures of ours
"""
