"""An identity token whose audience holds the binding: of this machine (`format=full`), or of a service account.

https://cloud.google.com/compute/docs/instances/verifying-instance-identity
"""

from typing import Any

from google.auth.compute_engine import _metadata
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import id_token

from credagent.attestation.proof import PREFIX, GoogleProof, parse
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.google.auth_transport import AuthTransport
from credagent.cloud_helper.google.errors import from_google
from credagent.cloud_helper.google.machine_identity import demand_a_google_machine
from credagent.errors import Refused

IDENTITY_PATH = "instance/service-accounts/default/identity"


def audience_of(binding: str) -> str:
    """Return the audience that says for what a token was made."""
    return f"{PREFIX}{binding}"


def by_machine(binding: str) -> GoogleProof:
    """Return a token of this machine. Raises CloudFailure."""
    transport = AuthTransport()
    demand_a_google_machine(transport)
    asked = {"audience": audience_of(binding), "format": "full"}
    try:
        token: Any = _metadata.get(transport, IDENTITY_PATH, params=asked)
    except GoogleAuthError as exc:
        raise from_google(exc) from exc
    return checked(token)


def by_sender(binding: str) -> GoogleProof:
    """Return a token of the service account that google-auth finds here. Raises CloudFailure.

    Google signs none with a chosen audience for a person's login.
    """
    transport = AuthTransport()
    try:
        credentials: Any = id_token.fetch_id_token_credentials(audience_of(binding), request=transport)
        credentials.refresh(transport)
    except GoogleAuthError as exc:
        raise CloudFailure("not-attestable", type(exc).__name__) from exc
    return checked(credentials.token)


def checked(token: object) -> GoogleProof:
    """Return the proof that is a token, where it has a token's form. Raises CloudFailure."""
    proof = GoogleProof(token=token.strip() if isinstance(token, str) else "")
    try:
        parse(proof.text)
    except Refused as error:
        raise CloudFailure("metadata-malformed", "not an identity token") from error
    return proof
