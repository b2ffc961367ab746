"""Every reason for which a request, or a whole connection, is refused over HTTP. What is answered else is elsewhere.

A refusal is a response with a code and a sentence for people. No text here may hold a secret: clients log it.
"""

import hmac
from datetime import datetime

from msgspec import Struct

from credagent.handover.http.ec2_session_token import SessionTokens
from credagent.handover.http.request import HttpRequest, MalformedRequest
from credagent.handover.http.response import HttpResponse, refusal
from credagent.secret import Secret

NOT_ALLOWED = refusal(403, "not-allowed", "this user may not ask: see [workers] in the agent's configuration")
CALLERS_UNKNOWN = refusal(
    403,
    "callers-unknown",
    "this sandbox does not say whose connection it is (no NETLINK_SOCK_DIAG): use the environment handover, "
    "or let the agent run outside the sandbox",
)
NOT_INTERCEPTED = refusal(404, "not-intercepted", "a rule of this machine redirects this address, and nothing is here")
TOO_MANY = refusal(503, "too-many-connections", "too many connections at once")
TOO_SLOW = refusal(408, "too-slow", "the request did not arrive in time")
DEFECT = refusal(500, "internal", "the agent could not answer: see its log")

FORWARDED = refusal(403, "forwarded", "forwarded requests are not answered")
WRONG_HOST = refusal(403, "wrong-host", "the Host header names another server")
WRONG_METHOD = refusal(405, "method", "only GET is answered", headers={"Allow": "GET"})
WRONG_TOKEN = refusal(401, "wrong-token", "the Authorization header does not hold the token of this machine's agent")
NOT_FOUND = refusal(404, "not-found", "nothing is served here")

WRONG_EC2_METHOD = refusal(405, "method", "only GET is answered, and PUT for a token", headers={"Allow": "GET, PUT"})
NO_SESSION_TOKEN = refusal(401, "no-session-token", "fetch a session token by PUT first: only IMDSv2 is answered here")
WRONG_SESSION_TOKEN = refusal(401, "wrong-session-token", "the session token is not valid, or not any more")

GOOGLE_FLAVOR = {"Metadata-Flavor": "Google"}
NO_FLAVOR = refusal(403, "no-metadata-flavor", "the header Metadata-Flavor: Google is missing", headers=GOOGLE_FLAVOR)
WRONG_GOOGLE_METHOD = refusal(405, "method", "only GET is answered", headers=GOOGLE_FLAVOR | {"Allow": "GET"})


class RequestRules(Struct, frozen=True, kw_only=True):
    """What a request must look like. `hosts`: what its Host header may be; None: anything, or missing."""

    hosts: frozenset[bytes] | None
    methods: frozenset[bytes] = frozenset({b"GET", b"POST"})


def refuse(request: HttpRequest, rules: RequestRules, *, admitted: bool) -> HttpResponse | None:
    """Return why `request` is refused whatever it asks for, None where it is not.

    `admitted`: its user may ask at this moment. He might when he connected, and a reload may have taken him out since,
    who would be served for as long as he keeps asking.
    """
    if not admitted:
        return NOT_ALLOWED
    if request.forwarded:
        return FORWARDED
    if rules.hosts is not None and request.headers.get(b"host", b"").lower() not in rules.hosts:
        return WRONG_HOST  # a page in somebody's browser, whose name was made to point here
    if request.method not in rules.methods:
        return WRONG_METHOD
    return None


def refuse_without_token(request: HttpRequest, token: Secret) -> HttpResponse | None:
    """Return why a request for AWS container credentials is refused: a wrong method, or not the endpoint's token."""
    if request.method != b"GET":
        return WRONG_METHOD
    # Constant time: a wrong token tells nothing about how much of it was right.
    if not hmac.compare_digest(request.headers.get(b"authorization", b""), token.reveal().encode()):
        return WRONG_TOKEN
    return None


def refuse_malformed(why: MalformedRequest) -> HttpResponse:
    """Return the last answer on a connection whose bytes are not a request."""
    return refusal(why.status, why.code, why.message, headers={"Connection": "close"})


def refuse_without_flavor(request: HttpRequest, *, may_post: bool) -> HttpResponse | None:
    """Return why a request for Google metadata is refused: a wrong method, or not the header that no page can send."""
    if request.method != b"GET" and not may_post:
        return WRONG_GOOGLE_METHOD
    return NO_FLAVOR if request.headers.get(b"metadata-flavor", b"").lower() != b"google" else None


def refuse_without_session_token(
    request: HttpRequest, tokens: SessionTokens, *, uid: int, now: datetime, optional: bool
) -> HttpResponse | None:
    """Return why a request for EC2 metadata is refused: a wrong method, or no valid session token of IMDSv2.

    `optional`: a request without any token (IMDSv1) is not refused; one with a wrong token is, as on EC2.
    """
    if request.method != b"GET":
        return WRONG_EC2_METHOD
    token = request.headers.get(b"x-aws-ec2-metadata-token")
    if token is None:
        return None if optional else NO_SESSION_TOKEN
    return None if tokens.is_good(token, uid, now) else WRONG_SESSION_TOKEN
