"""EC2's instance metadata service, as far as client libraries ask it for credentials and a region (IMDSv2).

Follows "Use IMDSv2" and "Retrieve security credentials" of the EC2 user guide. It answers intercepted connections only.
What a worker may not have is refused: user data, the machine's other metadata, its instance identity role and
documents' signatures. What clients need, and get, beside credentials:

| path below /latest | asked by |
|---|---|
| `api/token` (PUT) | everybody who speaks IMDSv2 |
| `meta-data/placement/region` | AWS CLI, SDK for Rust |
| `meta-data/placement/availability-zone` | botocore, the SDK for C++, s3cmd; each cuts the last letter off |
| `dynamic/instance-identity/document`, the field `region` | SDKs for Go, Java and JavaScript |
"""

import json
from datetime import datetime
from functools import lru_cache

from msgspec import Struct

from credagent.credentials import Empty, Held, SlotContent, ends_at
from credagent.handover.http.aws_endpoint import EXPIRED, LONG_TERM, absent, is_complete
from credagent.handover.http.ec2_session_token import LONGEST_TTL_S, SessionTokens
from credagent.handover.http.refusals import refuse_without_session_token
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, document, refusal, text
from credagent.worker_environment.vendor_documents import instance_metadata_json

LATEST = "/latest"
TOKEN_PATH = f"{LATEST}/api/token"
TTL_HEADER = b"x-aws-ec2-metadata-token-ttl-seconds"
CREDENTIALS = "meta-data/iam/security-credentials"
ROLE = "credagent"
"""The role's name that clients are told. They use it in the next path only; the session's own name is in `status`."""

WRONG_TTL = refusal(400, "wrong-ttl", f"name 1 to {LONGEST_TTL_S} seconds in {TTL_HEADER.decode()}")
NO_REGION = refusal(404, "no-region", "the region is not known: set aws.region in the agent's configuration")
OTHER = refusal(
    404, "not-for-workers", "credagent answers here: credentials and the region, not the machine's other metadata"
)
LISTINGS = {
    "meta-data": "iam/\nplacement/",
    "meta-data/iam": "security-credentials/",
    "meta-data/placement": "availability-zone\nregion",
    "dynamic": "instance-identity/",
    "dynamic/instance-identity": "document",
}


class Ec2Metadata(Struct, frozen=True, kw_only=True):
    """What the service needs beside the slot. `session_tokens_optional`: IMDSv1 is answered too."""

    tokens: SessionTokens
    session_tokens_optional: bool = False


def respond(
    request: HttpRequest, content: SlotContent, now: datetime, service: Ec2Metadata, *, uid: int, region: str
) -> HttpResponse:
    """Answer one request of user `uid` with what the aws slot holds; an error where it holds nothing."""
    path = request.path.rstrip("/")
    if path == TOKEN_PATH and request.method == b"PUT":
        return _token(request, now, service.tokens, uid)
    refused = refuse_without_session_token(
        request, service.tokens, uid=uid, now=now, optional=service.session_tokens_optional
    )
    if refused is not None:
        return refused
    entry = path.removeprefix(f"{LATEST}/")
    if entry in LISTINGS:
        return text(LISTINGS[entry])
    if entry in (CREDENTIALS, f"{CREDENTIALS}/{ROLE}"):
        return _credentials(content, now, named=entry != CREDENTIALS)
    match entry:
        case "meta-data/placement/region":
            return text(region) if region else NO_REGION
        case "meta-data/placement/availability-zone":
            return text(f"{region}a") if region else NO_REGION  # for its region: the letter says nothing
        case "dynamic/instance-identity/document":
            return document(json.dumps({"region": region}).encode()) if region else NO_REGION
        case _:
            return OTHER


def _token(request: HttpRequest, now: datetime, tokens: SessionTokens, uid: int) -> HttpResponse:
    ttl = request.headers.get(TTL_HEADER, b"")
    if not (ttl.isdigit() and len(ttl) <= len(str(LONGEST_TTL_S)) and 1 <= int(ttl) <= LONGEST_TTL_S):
        return WRONG_TTL
    return text(tokens.make(uid, now, int(ttl)), headers={TTL_HEADER.decode(): ttl.decode()})


def _credentials(content: SlotContent, now: datetime, *, named: bool) -> HttpResponse:
    if isinstance(content, Empty):
        return absent(content)
    ends = ends_at(content)
    if ends is not None and now >= ends:
        return EXPIRED
    if not is_complete(content):
        return LONG_TERM
    return _prepared(content) if named else text(ROLE)


@lru_cache(maxsize=1)  # the same for all who ask until it is renewed
def _prepared(held: Held) -> HttpResponse:
    body = instance_metadata_json(held)
    return LONG_TERM if body is None else document(body)
