"""Verifies AWS Signature Version 4 in headers or in a query, by the vendor's written procedure and not with its SDK.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. Only STS is asked with presigned URLs here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from . import times
from .cloud import Cloud
from .ledger import Call, Issued
from .web import Refused, Request

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_TIME_DIFFERENCE_S = 900

Wrong = tuple[int, str, str]
"""Status, code, message."""


@dataclass(frozen=True)
class Authorization:
    key_id: str
    scope: str
    signed_headers: tuple[str, ...]
    signature: str
    in_query: bool = False

    def said(self, request: Request, name: str) -> str:
        """A value that stands in a header, or in the query of a presigned request."""
        return request.query.get(name, "") if self.in_query else request.header(name)

    @property
    def scope_parts(self) -> tuple[str, str, str]:
        date, region, service, _ = self.scope.split("/")
        return date, region, service


def parse_authorization(header: str) -> Authorization | None:
    """None where the request carries no SigV4 signature or a misshapen one."""
    algorithm, _, rest = header.partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    key_id, _, scope = parts.get("Credential", "").partition("/")
    if algorithm != ALGORITHM or scope.count("/") != 3 or not parts.get("Signature"):
        return None
    return Authorization(key_id, scope, tuple(parts.get("SignedHeaders", "").split(";")), parts["Signature"])


def presigned(request: Request) -> Authorization | None:
    """What a query carries in place of the header; None where it carries none, a misshapen one, or a name twice."""
    names = [part.partition("=")[0].lower() for part in request.raw_query.split("&")]
    asked = request.query
    key_id, _, scope = asked.get("X-Amz-Credential", "").partition("/")
    if len(set(names)) != len(names) or asked.get("X-Amz-Algorithm") != ALGORITHM or scope.count("/") != 3:
        return None
    signed_headers = tuple(asked.get("X-Amz-SignedHeaders", "").split(";"))
    return Authorization(key_id, scope, signed_headers, asked.get("X-Amz-Signature", ""), in_query=True)


@dataclass(frozen=True)
class Wording:
    """How one service names what is wrong: S3 and STS use different codes and statuses."""

    missing: Wrong
    unknown_key: Wrong
    bad_signature: Wrong
    bad_token: Wrong
    expired: Wrong
    revoked: Wrong
    wrong_time: Wrong


def verify(request: Request, cloud: Cloud, wording: Wording, *, service: str, call: Call) -> Issued:
    """Who signed the request. Raises what the wording says; the call then still names the credential that was used."""
    authorization = parse_authorization(request.header("authorization"))
    if authorization is None and service == "sts":
        authorization = presigned(request)
    if authorization is None:
        raise Refused(*wording.missing)
    issued = cloud.ledger.get(authorization.key_id)
    if issued is None or issued.key_id != authorization.key_id:
        raise Refused(*wording.unknown_key)
    call.credential, call.principal = issued.id, issued.principal
    check(request, authorization, issued, cloud, wording, service=service)
    return issued


def check(
    request: Request, authorization: Authorization, issued: Issued, cloud: Cloud, wording: Wording, *, service: str
) -> None:
    """Time, signature, token, expiry and revocation, in the order in which AWS refuses them."""
    _check_time(authorization.said(request, "X-Amz-Date"), cloud, wording)
    signed_for = authorization.scope_parts[2]
    if signed_for != service or not _same(authorization.signature, signature(request, authorization, issued.secret)):
        raise Refused(*wording.bad_signature)
    if not _same(authorization.said(request, "X-Amz-Security-Token"), issued.token):
        raise Refused(*wording.bad_token)
    if issued.expired(cloud.now()):
        raise Refused(*wording.expired)
    if issued.revoked:
        raise Refused(*wording.revoked)


def _check_time(date: str, cloud: Cloud, wording: Wording) -> None:
    try:
        signed_at = times.parse_signing(date)
    except ValueError:
        raise Refused(*wording.wrong_time) from None
    if cloud.check_request_time and abs(cloud.now() - signed_at) > MAX_TIME_DIFFERENCE_S:
        raise Refused(*wording.wrong_time)


def signature(request: Request, authorization: Authorization, secret: str) -> str:
    """What the signature must be if the signer knows the secret."""
    canonical = canonical_request(request, authorization.signed_headers)
    to_sign = "\n".join(
        (
            ALGORITHM,
            authorization.said(request, "X-Amz-Date"),
            authorization.scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    return hmac.new(signing_key(secret, *authorization.scope_parts), to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=256)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def canonical_request(request: Request, signed_headers: tuple[str, ...]) -> str:
    """The path is encoded once, as S3 has it; the other services that are simulated have none but `/`."""
    payload = request.header("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    headers = "".join(f"{name}:{' '.join(request.header(name).split())}\n" for name in signed_headers)
    return "\n".join(
        (
            request.method,
            quote(unquote(request.raw_path), safe="/-_.~"),
            _canonical_query(request.raw_query),
            headers,
            ";".join(signed_headers),
            payload,
        )
    )


def _canonical_query(raw: str) -> str:
    """All of it but the signature, which a presigned request carries in it."""
    pairs = (part.partition("=")[::2] for part in raw.split("&") if part and not part.startswith("X-Amz-Signature="))
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")
