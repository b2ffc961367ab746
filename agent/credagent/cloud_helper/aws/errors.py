"""botocore's exceptions and AWS's error codes, as failures of ours. Their texts are not looked at."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from credagent.cloud_helper.failures import CloudFailure, clock_failure, overload
from credagent.cloud_helper.http.response_headers import retry_after_s, skew_s

SERVICE_CODES: Mapping[str, str] = {
    "AccessDenied": "access-denied",
    "AccessDeniedException": "access-denied",
    "UnauthorizedOperation": "access-denied",
    "UnauthorizedAccess": "access-denied",
    "Throttling": "throttled",
    "ThrottlingException": "throttled",
    "TooManyRequestsException": "throttled",
    "RequestLimitExceeded": "throttled",
    "LimitExceededException": "throttled",
    "SlowDown": "throttled",
    "ExpiredToken": "expired-token",
    "ExpiredTokenException": "expired-token",
    "InvalidClientTokenId": "key-unknown",
    "InvalidAccessKeyId": "key-unknown",
    "UnrecognizedClientException": "key-unknown",
    "InvalidToken": "key-unknown",
    "SignatureDoesNotMatch": "key-mismatch",
    "InvalidSignatureException": "key-mismatch",
    "IncompleteSignature": "key-mismatch",
    "RequestExpired": "clock-skew",
    "RequestInTheFuture": "clock-skew",
    "RequestTimeTooSkewed": "clock-skew",
    "RegionDisabledException": "region-disabled",
    "InvalidIdentityToken": "identity-token-refused",
    "ExpiredIdentityToken": "identity-token-refused",
    "ExpiredTokenIdentity": "identity-token-refused",
    "IDPRejectedClaim": "identity-token-refused",
    "IDPCommunicationError": "service-error",
    "DisabledException": "key-disabled",
    "KMSInvalidStateException": "key-disabled",
    "NotFoundException": "key-not-found",
    "InvalidCiphertextException": "not-opened",
    "IncorrectKeyException": "not-opened",
    "InvalidCiphertext": "not-opened",
    "KeyUnavailableException": "service-error",
    "DependencyTimeoutException": "service-error",
}

TIME_BOUND_CODES = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken", "AccessDenied"})
"""What AWS answers, among other reasons, to a request whose time is wrong."""

LOCAL_EXCEPTIONS: Mapping[str, str] = {
    "NoRegionError": "no-region",
    "InvalidRegionError": "no-region",
    "SSLError": "tls-failed",
    "ResponseParserError": "malformed-answer",
    "IncompleteReadError": "malformed-answer",
    "ResponseStreamingError": "malformed-answer",
    "InvalidIMDSEndpointError": "bad-endpoint",
    "InvalidIMDSEndpointModeError": "bad-endpoint",
    "HTTPClientError": "unreachable",
    "ConnectionError": "unreachable",
    "EndpointConnectionError": "unreachable",
    "ParamValidationError": "request-refused",
    "NoCredentialsError": "no-local-identity",
    "PartialCredentialsError": "partial-credentials",
    "ProfileNotFound": "no-profile",
    "ConfigParseError": "aws-configuration",
    "ConfigNotFound": "aws-configuration",
    "InvalidConfigError": "aws-configuration",
    "UnknownCredentialError": "aws-configuration",
    "InfiniteLoopConfigurationError": "aws-configuration",
    "MissingDependencyException": "aws-crt-missing",
    "UnauthorizedSSOTokenError": "sso-expired",
    "SSOTokenLoadError": "sso-expired",
    "SSOError": "sso-expired",
    "TokenRetrievalError": "sso-expired",
    "LoginError": "login-expired",
    "LoginRefreshRequired": "login-expired",
    "LoginTokenLoadError": "login-expired",
    "LoginInsufficientPermissions": "access-denied",
    "CredentialRetrievalError": "credential-process-failed",
    "MetadataRetrievalError": "metadata-unreachable",
    "RefreshWithMFAUnsupportedError": "mfa-needed",
}
"""botocore's own exceptions by class; the nearest class of the hierarchy counts."""


def from_botocore(exc: Exception) -> CloudFailure:
    """Return what an exception of botocore is."""
    if isinstance(exc, ClientError):
        return from_service(exc.response)
    for ancestor in type(exc).__mro__:
        code = LOCAL_EXCEPTIONS.get(ancestor.__name__)
        if code is not None:
            return CloudFailure(code, type(exc).__name__)
    return CloudFailure("helper-defect", type(exc).__name__)


def from_service(response: Mapping[str, Any]) -> CloudFailure:
    """Return what an error document of AWS is; a wrong clock is named where it explains a refusal."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    skewed = clock_failure(skew_of(response))
    if skewed is not None and (code in TIME_BOUND_CODES or SERVICE_CODES.get(code) == "clock-skew"):
        return skewed
    retry_after = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after")
    known = SERVICE_CODES.get(code)
    if known is not None:
        return CloudFailure(known, retry_after_s=retry_after_s(retry_after, datetime.now(UTC)))
    if status == FORBIDDEN:
        return CloudFailure("access-denied")
    overloaded = overload(status, retry_after)
    if overloaded is not None:
        return overloaded
    return CloudFailure("request-refused" if status >= BAD_REQUEST else "service-error", f"HTTP {status}")


def skew_of(response: Mapping[str, Any]) -> float | None:
    """Return the service's clock minus ours, by the answer's `Date` header."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return skew_s(headers.get("date"), datetime.now(UTC))


BAD_REQUEST, FORBIDDEN = 400, 403
