"""HTTP without an SDK, in the helper: one bounded request, and what the headers of an answer say.

- `https_client`: one request over verified TLS
- `metadata_client`: one request to a metadata service
- `https_url`: an address parsed once and rebuilt, so that what was judged is fetched
- `response_headers`: how long a service asks to be left alone, and how far its clock is from ours
- `trusted_certificates`: whose certificates are believed
"""
