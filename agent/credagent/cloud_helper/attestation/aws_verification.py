"""Rebuilds the request that a proof stands for, sends it to AWS, and reads whose it is. Nothing is forwarded.

Host, path, method, parameters and headers are set here; the binding too, so that a proof for another key, audience or
purpose has a signature that AWS refuses. No redirect is followed, and the answer is JSON of one shape or none at all.
"""

import os
from datetime import datetime
from typing import Any

import requests

from credagent.attestation import proof as proofs
from credagent.attestation.identity import AwsIdentity, from_caller_identity
from credagent.attestation.proof import AwsProof
from credagent.attestation.refusal_codes import AttestationCode, refusal
from credagent.cloud_helper.attestation import strict_json, sts_host
from credagent.cloud_helper.attestation.aws_proof import BINDING_HEADER, encoded, query_of
from credagent.cloud_helper.failures import CloudFailure, clock_failure, overload
from credagent.cloud_helper.http import https_client
from credagent.cloud_helper.http.response_headers import skew_s

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
"""Where this machine's own environment says that STS is asked. The request is addressed to AWS's host all the same."""
MAX_ANSWER_BYTES = 16 * 1024
JSON = "application/json"
READ = frozenset({200, 400, 403})
_REFUSALS = {
    "SignatureDoesNotMatch": (AttestationCode.MISMATCH, "AWS says that the signature is not over this statement"),
    "InvalidSignatureException": (AttestationCode.MISMATCH, "AWS says that the signature is not over this statement"),
    "IncompleteSignature": (AttestationCode.MISMATCH, "AWS says that the signature is none"),
    "ExpiredToken": (AttestationCode.SESSION_ENDED, "the session that signed it has ended"),
    "ExpiredTokenException": (AttestationCode.SESSION_ENDED, "the session that signed it has ended"),
    "InvalidClientTokenId": (AttestationCode.KEY_UNKNOWN, "AWS does not know the session that signed it"),
    "UnrecognizedClientException": (AttestationCode.KEY_UNKNOWN, "AWS does not know the session that signed it"),
    "RequestExpired": (AttestationCode.OLD, "AWS says that it is too old"),
}
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


def verify(session: requests.Session, proof: AwsProof, binding: str, *, now: datetime) -> AwsIdentity:
    """Return who made `proof` for exactly this binding. Raises Refused, or CloudFailure where AWS cannot be asked."""
    proofs.demand_fresh(proofs.signing_time(proof), now)
    host = sts_host.of_region(proof.region)
    try:
        response = https_client.ask(
            session,
            "GET",
            f"{_base(host.name)}/?{encoded(query_of(proof))}",
            headers={"Host": host.name, BINDING_HEADER: binding, "Accept": JSON},
            max_bytes=MAX_ANSWER_BYTES,
            reads=READ,
        )
    except CloudFailure as failure:
        if failure.code == "channel-too-large":
            raise refusal(AttestationCode.ANSWER_TOO_LARGE, "STS's answer has no end") from failure
        raise
    return read_answer(response, host.partition, now=now)


def read_answer(response: https_client.HttpsResponse, partition: str, *, now: datetime) -> AwsIdentity:
    """Return the identity in an answer of STS. Raises as `verify`."""
    if response.status == OK:
        return from_caller_identity(_result(_document(response)), partition)
    if response.status in range(300, 400):
        raise refusal(AttestationCode.REDIRECTED, "the answer leads elsewhere, where nobody is asked")
    overloaded = overload(response.status, response.headers.get("Retry-After"))
    if overloaded is not None:
        raise overloaded
    if response.status not in READ:
        raise refusal(AttestationCode.NOT_ANSWERED, f"STS answered with HTTP {response.status}")
    code = _refusal_code(_document(response))
    if code in _THROTTLED:
        raise CloudFailure("throttled")
    if code == "SignatureDoesNotMatch" and (wrong := clock_failure(skew_s(response.headers.get("Date"), now))):
        raise wrong  # AWS says the same of a request whose time is over
    raise refusal(*_REFUSALS.get(code, (AttestationCode.NOT_ANSWERED, "STS refused it for another reason")))


def _base(host: str) -> str:
    named = next(filter(None, map(os.environ.get, ENDPOINT_VARIABLES)), "")
    return named.rstrip("/") if named else f"https://{host}"


def _document(response: https_client.HttpsResponse) -> dict[str, Any]:
    """Return the answer, where it is of the media type that was asked for and JSON that every parser reads alike."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise refusal(AttestationCode.ANSWER_NOT_JSON, "STS's answer is not of the media type that was asked for")
    try:
        return strict_json.parse(response.body)
    except ValueError:
        raise refusal(AttestationCode.ANSWER_NOT_JSON, "STS's answer is not JSON") from None


def _result(document: dict[str, Any]) -> dict[str, Any]:
    """Return the three fields, which stand in one place only."""
    response = document.get("GetCallerIdentityResponse")
    if len(document) != 1 or not isinstance(response, dict) or not set(response) <= _PARTS:
        raise refusal(AttestationCode.ANSWER_MALFORMED, "STS's answer is to another question")
    result = response.get("GetCallerIdentityResult")
    if not isinstance(result, dict) or set(result) != _FIELDS:
        raise refusal(AttestationCode.ANSWER_MALFORMED, "STS's answer lacks a field, or has one more")
    return result


def _refusal_code(document: dict[str, Any]) -> str:
    error = document.get("Error")
    return str(error.get("Code", "")) if isinstance(error, dict) else ""


OK = 200
_PARTS = frozenset({"GetCallerIdentityResult", "ResponseMetadata"})
_FIELDS = frozenset({"Arn", "UserId", "Account"})
