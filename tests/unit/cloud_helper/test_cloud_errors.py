"""SDK errors become codes; their texts are not even looked at."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import botocore.exceptions as aws
import pytest
import requests.exceptions as http
from google.auth import exceptions as google

from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.google.errors import from_google, from_requests, refusal
from credagent.cloud_helper.kms.crc32c import crc32c


def service_error(code: str, status: int = 400, *, service_ahead: timedelta = timedelta()) -> aws.ClientError:
    date = format_datetime(datetime.now(UTC) + service_ahead, usegmt=True)
    answer: Any = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}},
    }
    return aws.ClientError(answer, "AnyOperation")


@pytest.mark.parametrize(
    ("code", "status", "ours"),
    [
        ("AccessDenied", 403, "access-denied"),
        ("Throttling", 400, "throttled"),
        ("ExpiredToken", 403, "expired-token"),
        ("InvalidClientTokenId", 403, "key-unknown"),
        ("SignatureDoesNotMatch", 403, "key-mismatch"),
        ("RegionDisabledException", 403, "region-disabled"),
        ("DisabledException", 400, "key-disabled"),
        ("InvalidCiphertextException", 400, "not-opened"),
        ("SomethingNew", 400, "request-refused"),
        ("SomethingNew", 403, "access-denied"),
        ("SomethingNew", 429, "throttled"),
        ("SomethingNew", 503, "service-error"),
    ],
)
def test_an_error_of_aws_has_a_code(code: str, status: int, ours: str) -> None:
    assert from_botocore(service_error(code, status)).code == ours


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed", "ExpiredToken"])
@pytest.mark.parametrize("hours", [1, -1])
def test_a_refusal_by_a_service_whose_clock_is_an_hour_off_is_our_clocks_fault(code: str, hours: int) -> None:
    failure = from_botocore(service_error(code, 403, service_ahead=timedelta(hours=hours)))
    assert failure.code == "clock-skew"


def test_a_policy_is_not_blamed_on_the_clock_when_the_clock_is_right() -> None:
    assert from_botocore(service_error("AccessDenied", 403)).code == "access-denied"


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (aws.EndpointConnectionError(endpoint_url="https://x"), "unreachable"),
        (aws.ConnectTimeoutError(endpoint_url="https://x"), "unreachable"),
        (aws.ReadTimeoutError(endpoint_url="https://x"), "unreachable"),
        (aws.ProxyConnectionError(proxy_url="http://user:password@proxy"), "unreachable"),
        (aws.SSLError(endpoint_url="https://x", error=OSError()), "tls-failed"),
        (aws.NoRegionError(), "no-region"),
        (aws.ProfileNotFound(profile="x"), "no-profile"),
        (aws.UnauthorizedSSOTokenError(), "sso-expired"),
        (aws.SSOTokenLoadError(error_msg="x"), "sso-expired"),
        (aws.CredentialRetrievalError(provider="x", error_msg="x"), "credential-process-failed"),
        (aws.ConfigParseError(path="x"), "aws-configuration"),
        (aws.BotoCoreError(), "helper-defect"),
    ],
)
def test_an_exception_of_botocore_has_a_code(exc: Exception, code: str) -> None:
    failure = from_botocore(exc)
    assert failure.code == code
    assert "password" not in failure.detail


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (400, {"error": "invalid_grant"}, "invalid-grant"),
        (401, {"error": "invalid_client"}, "client-unknown"),
        (400, {"error": "something_new"}, "request-refused"),
        (401, {"error": {"status": "UNAUTHENTICATED"}}, "expired-token"),
        (403, {"error": {"status": "PERMISSION_DENIED"}}, "access-denied"),
        (
            403,
            {"error": {"status": "PERMISSION_DENIED", "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}},
            "insufficient-scope",
        ),
        (403, {"error": {"status": "PERMISSION_DENIED", "details": "?"}}, "access-denied"),
        (404, {"error": {"status": "NOT_FOUND"}}, "not-found"),
        (403, {}, "access-denied"),
        (400, {"error": 7}, "request-refused"),
        (429, {}, "throttled"),
        (503, {}, "service-error"),
    ],
)
def test_a_refusal_of_google_has_a_code(status: int, document: dict[str, object], code: str) -> None:
    assert refusal(status, document, metadata=False, skew_s=None).code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "metadata-refused"),
        (403, "metadata-disabled"),
        (404, "no-service-account"),
        (429, "throttled"),
        (500, "service-error"),
    ],
)
def test_a_refusal_of_googles_metadata_server_has_a_code(status: int, code: str) -> None:
    assert refusal(status, {}, metadata=True, skew_s=None).code == code


def test_a_grant_refused_by_a_service_whose_clock_is_an_hour_off_is_our_clocks_fault() -> None:
    assert refusal(400, {"error": "invalid_grant"}, metadata=False, skew_s=3600.0).code == "clock-skew"


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (http.SSLError(), "tls-failed"),
        (http.ProxyError(), "unreachable"),
        (http.ConnectTimeout(), "unreachable"),
        (http.ChunkedEncodingError(), "malformed-answer"),
        (http.TooManyRedirects(), "malformed-answer"),
        (None, "unreachable"),
    ],
)
def test_an_exchange_without_an_answer_has_a_code(cause: Exception | None, code: str) -> None:
    assert from_requests(cause, metadata=False).code == code


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (google.RefreshError("secret"), "malformed-answer"),
        (google.DefaultCredentialsError("secret"), "google-configuration"),
        (google.TransportError("secret"), "unreachable"),
        (http.RequestException("secret"), "unreachable"),
        (google.GoogleAuthError("secret"), "helper-defect"),
    ],
)
def test_an_exception_of_google_auth_has_a_code_and_loses_its_text(exc: Exception, code: str) -> None:
    failure = from_google(exc)
    assert failure.code == code
    assert "secret" not in failure.reply("x").why


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
