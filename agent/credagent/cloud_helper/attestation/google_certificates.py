"""Google's published keys, which sign identity tokens: read, and kept for as long as the answer allows.

Only these are believed. A token signed by a service account's own key may carry any claims (CVE-2020-16251).
"""

import json
import os
import re
from datetime import UTC, datetime, timedelta

import requests

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http import https_client
from credagent.cloud_helper.job_responses import GoogleCertificates

ADDRESS = "https://www.googleapis.com/oauth2/v1/certs"
CONFIGURED = "GOOGLE_OAUTH2_CERTS_URL"
"""Where this machine's own environment says that the page is had: for private endpoints."""
MAX_BYTES = 64 * 1024
LONGEST = timedelta(hours=24)
_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
_KEY_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")


def fetch(session: requests.Session) -> GoogleCertificates:
    """Return the certificates by their key's id. Raises CloudFailure."""
    address = os.environ.get(CONFIGURED) or ADDRESS
    response = https_client.ask(session, "GET", address, headers={"Accept": "application/json"}, max_bytes=MAX_BYTES)
    if response.status != OK:
        raise https_client.refusal(response.status, response.headers.get("Retry-After"))
    try:
        found = json.loads(response.body)
    except ValueError:
        raise CloudFailure("malformed-answer", "Google's certificates") from None
    named = found if isinstance(found, dict) else {}
    if not named or not all(_KEY_ID.fullmatch(name) and isinstance(value, str) for name, value in named.items()):
        raise CloudFailure("malformed-answer", "Google's certificates")
    kept = _MAX_AGE.search(response.headers.get("Cache-Control", ""))
    life = min(timedelta(seconds=int(kept[1]) if kept else 0), LONGEST)
    return GoogleCertificates(by_key_id=named, good_until=datetime.now(UTC) + life)


OK = 200
