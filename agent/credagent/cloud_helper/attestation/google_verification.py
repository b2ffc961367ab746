"""Verifies an identity token with google-auth, against Google's published keys and for exactly one audience.

https://cloud.google.com/compute/docs/instances/verifying-instance-identity#verify_the_token
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.auth import crypt
from google.auth.exceptions import GoogleAuthError

from credagent.attestation import proof as proofs
from credagent.attestation.identity import GoogleIdentity, from_claims
from credagent.attestation.proof import GoogleProof
from credagent.attestation.refusal_codes import AttestationCode, refusal
from credagent.bundle import base64url
from credagent.cloud_helper.attestation import strict_json
from credagent.cloud_helper.attestation.google_proof import audience_of

ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
HEADER = frozenset({"alg", "kid", "typ"})


def key_id_of(proof: GoogleProof) -> str:
    """Return the id of the key that a token says to be signed with. Raises Refused for any but an RS256 header."""
    header = _object(proof.token.split(".")[0], AttestationCode.TOKEN_HEADER)
    if header.get("alg") != "RS256":
        raise refusal(AttestationCode.TOKEN_ALGORITHM, "Google signs with RS256 only")
    if not set(header) <= HEADER or not isinstance(header.get("kid"), str):
        raise refusal(AttestationCode.TOKEN_HEADER, "the token brings or names keys in another way than Google's do")
    return str(header["kid"])


def verify(proof: GoogleProof, certificates: Mapping[str, str], binding: str, *, now: datetime) -> GoogleIdentity:
    """Return whom the token names, for exactly this binding. Raises Refused."""
    key_id = key_id_of(proof)
    if key_id not in certificates:
        raise refusal(AttestationCode.TOKEN_KEY, "it is signed by a key that Google does not publish")
    claims = _object(proof.token.split(".")[1], AttestationCode.TOKEN_CLAIMS)
    if claims.get("aud") != audience_of(binding):
        raise refusal(AttestationCode.TOKEN_AUDIENCE, "it is for another audience")
    if claims.get("iss") not in ISSUERS:
        raise refusal(AttestationCode.TOKEN_ISSUER, "its issuer is not Google")
    issued, ends = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(ends) is not int or not 0 < issued < ends < LATEST:
        raise refusal(AttestationCode.TOKEN_CLAIMS, "its times are none")
    proofs.demand_fresh(datetime.fromtimestamp(issued, UTC), now)
    if now > datetime.fromtimestamp(ends, UTC) + proofs.LEEWAY:
        raise refusal(AttestationCode.OLD, "its end has come")
    if not _is_signed(proof.token, certificates[key_id]):
        raise refusal(AttestationCode.TOKEN_SIGNATURE, "its signature is not Google's")
    return from_claims(claims)


def _is_signed(token: str, certificate: str) -> bool:
    """Ask google-auth, whose own look at the clock has been made before, with a skew."""
    signed, _, signature = token.rpartition(".")
    try:
        return bool(crypt.verify_signature(signed.encode(), base64url.decode(signature), [certificate]))
    except (GoogleAuthError, ValueError, TypeError):
        return False


def _object(part: str, code: AttestationCode) -> dict[str, Any]:
    """Return a part of the token: canonical base64url, and JSON that every parser reads alike."""
    try:
        return strict_json.parse(base64url.decode(part))
    except ValueError:
        raise refusal(code, "a part of the token is not JSON") from None


LATEST = 2**40
