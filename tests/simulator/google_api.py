"""What Google's HTTP interfaces have in common: bearer tokens and the JSON error document."""

from __future__ import annotations

from .cloud import Cloud
from .ledger import Call, Issued
from .web import Refused, Request, Response, json_response

UNAUTHENTICATED = (401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 token.")


def bearer(request: Request, cloud: Cloud, call: Call) -> Issued:
    """Whose token the request carries. The call names it also where it is refused, and says why in its details."""
    scheme, _, token = request.header("authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "Anonymous", "Anonymous caller does not have access.")
    issued = cloud.ledger.get(token)
    if issued is None or issued.token != token or issued.key_id or issued.kind == "refresh-token":
        raise Refused(*UNAUTHENTICATED)
    call.credential, call.principal = issued.id, issued.principal
    reason = "expired" if issued.expired(cloud.now()) else "revoked" if issued.revoked else ""
    if reason:
        call.details["refused"] = reason
        raise Refused(*UNAUTHENTICATED)
    return issued


def error(refused: Refused) -> Response:
    status = "UNAUTHENTICATED" if refused.code == "Anonymous" else refused.code
    errors = [{"message": refused.message, "domain": "global", "reason": _REASONS.get(refused.status, "backendError")}]
    document = {"code": refused.status, "message": refused.message, "status": status, "errors": errors}
    headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if refused.status == 401 else {}
    return json_response({"error": document}, refused.status, headers)


_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
}
