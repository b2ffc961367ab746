"""Google's OAuth token endpoint: refresh tokens, service account assertions, tokeninfo, revocation; certificates.

https://developers.google.com/identity/protocols/oauth2/web-server#offline and RFC 7523.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .cloud import Cloud
from .identity_tokens import ISSUER
from .ledger import Call, Issued
from .project import TOKEN_LIFETIME_S
from .web import Refused, Request, Response, json_response

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OPERATIONS = {
    "refresh_token": "RefreshToken",
    JWT_BEARER: "Assertion",
}


class OAuth:
    service = "oauth"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def operation(self, request: Request) -> str:
        name = request.path.strip("/").rpartition("/")[2]
        if name == "token":
            return OPERATIONS.get(request.form.get("grant_type", ""), "Unknown")
        return {"tokeninfo": "TokenInfo", "revoke": "Revoke", "certs": "Certificates"}.get(name, "Unknown")

    def answer(self, request: Request, call: Call) -> Response:
        match call.operation:
            case "RefreshToken":
                return self._issued(self._refreshed(request, call), call)
            case "Assertion":
                return self._asserted(request, call)
            case "TokenInfo":
                return self._token_info(request, call)
            case "Certificates":
                return json_response(
                    self._cloud.identity_tokens.certificates, headers={"Cache-Control": "public, max-age=19845"}
                )
            case "Revoke":
                return self._revoked(request, call)
            case _:
                raise Refused(400, "unsupported_grant_type", "Invalid grant_type")

    def refusal(self, refused: Refused, request: Request) -> Response:
        return json_response({"error": refused.code, "error_description": refused.message}, refused.status)

    def _refreshed(self, request: Request, call: Call) -> Issued:
        asked, project = request.form, self._cloud.project
        if asked.get("client_id") != project.client_id or asked.get("client_secret") != project.client_secret:
            raise Refused(401, "invalid_client", "The OAuth client was not found.")
        held = self._cloud.ledger.get(asked.get("refresh_token", ""))
        if held is None or held.kind != "refresh-token":
            raise Refused(400, "invalid_grant", "Bad Request")
        call.credential, call.principal = held.id, held.principal
        if held.revoked:
            raise Refused(400, "invalid_grant", "Token has been expired or revoked.")
        scopes = asked.get("scope", "").split() or held.details["scopes"]
        return self._access_token(held.principal, scopes, held.id)

    def _asserted(self, request: Request, call: Call) -> Response:
        """An access token; of an assertion with a `target_audience`, an identity token for it."""
        claims = self._claims(request.form.get("assertion", ""))
        call.principal = str(claims["iss"])
        if "target_audience" in claims:
            return json_response({"id_token": self._identity_token(call.principal, claims["target_audience"])})
        return self._issued(self._access_token(call.principal, str(claims.get("scope", "")).split(), None), call)

    def _identity_token(self, email: str, audience: str) -> str:
        now = int(self._cloud.now())
        subject = f"1{int(hashlib.sha256(email.encode()).hexdigest(), 16) % 10**20:020d}"
        claims = {"iss": ISSUER, "aud": audience, "azp": email, "sub": subject, "email": email, "email_verified": True}
        return self._cloud.identity_tokens.sign({**claims, "iat": now, "exp": now + int(TOKEN_LIFETIME_S)})

    def _claims(self, assertion: str) -> dict[str, Any]:
        """Of an assertion that a known key of a service account has signed."""
        try:
            signed, _, signature = assertion.rpartition(".")
            header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
            key = self._cloud.project.keys[header["kid"]]
            public_key = serialization.load_pem_public_key(key.public_key_pem)
            if not isinstance(public_key, rsa.RSAPublicKey) or claims["iss"] != key.email:
                raise Refused(400, "invalid_grant", "Invalid JWT: iss")
            public_key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (KeyError, ValueError, InvalidSignature):
            raise Refused(400, "invalid_grant", "Invalid JWT Signature.") from None
        if claims["exp"] <= self._cloud.now() or claims["iat"] > self._cloud.now() + 300:
            raise Refused(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token")
        return dict(claims)

    def _access_token(self, principal: str, scopes: list[str], source: str | None) -> Issued:
        return self._cloud.ledger.issue_bearer(
            "oauth",
            principal,
            now=self._cloud.now(),
            lifetime_s=self._cloud.lifetime(self.service, TOKEN_LIFETIME_S),
            source=source,
            details={"scopes": scopes},
        )

    def _issued(self, issued: Issued, call: Call) -> Response:
        call.issued = issued.id
        document = {
            "access_token": issued.token,
            "expires_in": int((issued.expires_at or 0) - self._cloud.now()),
            "scope": " ".join(issued.details["scopes"]),
            "token_type": "Bearer",
        }
        return json_response(document)

    def _token_info(self, request: Request, call: Call) -> Response:
        asked = {**request.query, **request.form}
        issued = self._cloud.ledger.get(asked.get("access_token", ""))
        now = self._cloud.now()
        if issued is None or issued.key_id or issued.revoked or issued.expires_at is None or issued.expired(now):
            raise Refused(400, "invalid_token", "Invalid Value")
        call.credential, call.principal = issued.id, issued.principal
        document = {
            "email": issued.principal,
            "email_verified": "true",
            "exp": str(int(issued.expires_at)),
            "expires_in": str(int(issued.expires_at - now)),
            "scope": " ".join(issued.details.get("scopes", [])),
        }
        return json_response(document)

    def _revoked(self, request: Request, call: Call) -> Response:
        asked = {**request.query, **request.form}
        issued = self._cloud.ledger.get(asked.get("token", ""))
        if issued is None or issued.key_id:
            raise Refused(400, "invalid_token", "Token expired or revoked")
        call.credential, call.principal = issued.id, issued.principal
        self._cloud.ledger.revoke(issued.id)
        return json_response({})


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
