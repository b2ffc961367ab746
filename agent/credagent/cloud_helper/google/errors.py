"""Google's refusals and google-auth's exceptions, as failures of ours. Their texts are not looked at."""

from collections.abc import Mapping
from typing import Any

from credagent.cloud_helper.failures import CloudFailure, clock_failure, overload

OAUTH_ERRORS: Mapping[str, str] = {
    "invalid_grant": "invalid-grant",
    "invalid_client": "client-unknown",
    "unauthorized_client": "client-unknown",
    "deleted_client": "client-unknown",
    "invalid_scope": "insufficient-scope",
    "access_denied": "access-denied",
    "temporarily_unavailable": "service-error",
    "internal_failure": "service-error",
}
"""RFC 6749, section 5.2, and what Google adds."""

API_STATUSES: Mapping[str, str] = {
    "UNAUTHENTICATED": "expired-token",
    "PERMISSION_DENIED": "access-denied",
    "RESOURCE_EXHAUSTED": "throttled",
    "NOT_FOUND": "not-found",
    "FAILED_PRECONDITION": "precondition-failed",
    "INVALID_ARGUMENT": "request-refused",
    "UNAVAILABLE": "service-error",
    "INTERNAL": "service-error",
    "DEADLINE_EXCEEDED": "service-error",
}
"""https://cloud.google.com/apis/design/errors"""

GOOGLE_EXCEPTIONS: Mapping[str, str] = {
    "TransportError": "unreachable",
    "RefreshError": "malformed-answer",
    "DefaultCredentialsError": "google-configuration",
    "MalformedError": "google-configuration",
    "InvalidValue": "google-configuration",
    "InvalidType": "google-configuration",
    "InvalidOperation": "google-configuration",
    "MutualTLSChannelError": "google-configuration",
    "ReauthFailError": "invalid-grant",
    "ReauthSamlChallengeFailError": "invalid-grant",
    "ResponseError": "malformed-answer",
    "RequestException": "unreachable",
}
"""google-auth's and requests' own exceptions by class; the nearest class of the hierarchy counts.

A refusal never gets this far: the transport has made it a failure already. So a refresh that fails was answered with
something that google-auth does not understand.
"""

FORBIDDEN, NOT_FOUND = 403, 404
CONCEALED_HINT = "is the metadata server concealed or filtered here (GKE, a proxy)?"


def refusal(
    status: int,
    document: Mapping[str, Any],
    *,
    metadata: bool,
    skew_s: float | None,
    retry_after: str | None = None,
) -> CloudFailure:
    """Return what an answer of 300 or more is; where a redirect leads is not looked at."""
    overloaded = overload(status, retry_after)
    if overloaded is not None:
        return overloaded
    if metadata:
        return _metadata_refusal(status)
    code = _code(document)
    if code == "invalid-grant":  # also said of an assertion that a wrong clock has dated
        return clock_failure(skew_s) or CloudFailure(code)
    if code:
        return CloudFailure(code)
    return CloudFailure("access-denied" if status == FORBIDDEN else "request-refused", f"HTTP {status}")


def from_requests(cause: BaseException | None, *, metadata: bool) -> CloudFailure:
    """Return what an exchange without a whole answer is, by the class of requests' exception."""
    names = {ancestor.__name__ for ancestor in type(cause).__mro__}
    if "SSLError" in names:
        return CloudFailure("tls-failed")
    if names & {"ChunkedEncodingError", "ContentDecodingError", "TooManyRedirects"}:
        return CloudFailure("metadata-malformed" if metadata else "malformed-answer", "the answer is not whole")
    return CloudFailure("metadata-unreachable" if metadata else "unreachable", type(cause).__name__)


def from_google(exc: Exception) -> CloudFailure:
    """Return what an exception of google-auth or requests is."""
    for ancestor in type(exc).__mro__:
        code = GOOGLE_EXCEPTIONS.get(ancestor.__name__)
        if code is not None:
            return CloudFailure(code, type(exc).__name__)
    return CloudFailure("helper-defect", type(exc).__name__)


def _metadata_refusal(status: int) -> CloudFailure:
    if status == FORBIDDEN:
        return CloudFailure("metadata-disabled", "HTTP 403", hint=CONCEALED_HINT)
    if status == NOT_FOUND:
        return CloudFailure("no-service-account")
    return CloudFailure("metadata-refused", f"HTTP {status}")


def _code(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    if isinstance(error, str):
        return OAUTH_ERRORS.get(error, "")
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    reasons = {each.get("reason") for each in details if isinstance(each, dict)} if isinstance(details, list) else set()
    if "ACCESS_TOKEN_SCOPE_INSUFFICIENT" in reasons:
        return "insufficient-scope"
    return API_STATUSES.get(str(error.get("status")), "")
