"""Google identities, asked in the helper process.

- `machine_identity`: the service account of this machine
- `local_identity`: the sender's application-default credentials
- `refresh_token`: an access token for a refresh token
- `impersonation`: a token of another service account
- `tokens`: a refresh by google-auth, and what it holds, judged
- `auth_transport`: carries google-auth's requests, bounded in time and asked once
- `errors`: Google's refusals and google-auth's exceptions as failures of ours
"""
