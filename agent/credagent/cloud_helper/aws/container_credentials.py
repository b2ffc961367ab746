"""Container credentials of the agent's own environment (ECS tasks, EKS pod identities).

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html. Plain http only to this machine and
to the addresses of ECS and EKS, as every SDK has it: the authorization token goes along.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import SplitResult

from credagent.cloud_helper.aws.credential_document import credentials_from
from credagent.cloud_helper.failures import CloudFailure, overload
from credagent.cloud_helper.http import metadata_client
from credagent.cloud_helper.http.metadata_client import MetadataResponse, MetadataSilent
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.credentials import Origin
from credagent.secret import Secret

ECS = "http://169.254.170.2"
PLAIN_HTTP_HOSTS = frozenset(map(ipaddress.ip_address, ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")))
WAIT_S = 2.0
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_TOKEN_BYTES = 64 * 1024
OK, NOT_FOUND = 200, 404
UNAUTHORIZED = frozenset({400, 401, 403})
RELATIVE, FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def obtain(region: str) -> AwsObtained:
    """Return the credentials of the task or pod, without their principal. Raises CloudFailure."""
    place = address_in(os.environ)
    token = _token(os.environ)
    headers = {"Accept": "application/json"} | ({"Authorization": token.reveal()} if token else {})
    path = (place.path or "/") + (f"?{place.query}" if place.query else "")
    try:
        answered = metadata_client.ask(
            place, path, headers=headers, connect_s=WAIT_S, wait_s=WAIT_S, max_bytes=MAX_DOCUMENT_BYTES
        )
    except MetadataSilent as silence:
        if silence.kind == "cut":
            why = "the connection was closed before the answer's end"
            raise CloudFailure("metadata-malformed", why) from silence
        hint = "is this the address that the platform gave the container?"
        raise CloudFailure("metadata-unreachable", hint=hint) from silence
    document = document_in(answered)
    now = datetime.now(UTC)
    credentials, notices = credentials_from(document, region=region, now=now, skew_s=answered.skew_s)
    return AwsObtained(
        credentials=credentials,
        origin=Origin.CONTAINER,
        role=_role(document),
        method="container-role",
        notices=notices,
        skew_s=answered.skew_s,
    )


def address_in(environ: Mapping[str, str]) -> SplitResult:
    """Return where the credentials are asked for; the relative address wins. Raises CloudFailure (`bad-endpoint`)."""
    relative = environ.get(RELATIVE, "")
    place = metadata_client.place_of(f"{ECS}{relative}" if relative else environ.get(FULL, ""))
    if (relative and not relative.startswith("/")) or place.username is not None:
        raise CloudFailure("bad-endpoint")
    if place.scheme == "http" and not _may_be_plain(place.hostname or ""):
        hint = f"{FULL} is https, this machine's loopback, or the address of ECS or EKS"
        raise CloudFailure("bad-endpoint", "plain http to another machine", hint=hint)
    return place


def document_in(answered: MetadataResponse) -> object:
    """Return the credential document in an answer. Raises CloudFailure. Pure."""
    overloaded = overload(answered.status, answered.headers.get("retry-after"))
    if overloaded is not None:
        raise overloaded
    detail = f"HTTP {answered.status}"
    if answered.status in UNAUTHORIZED:
        raise CloudFailure("metadata-refused", detail, hint="is the authorization token still good?")
    if answered.status == NOT_FOUND:
        raise CloudFailure("no-role", detail, hint="give the task or the pod a role")
    if answered.status != OK:
        raise CloudFailure("metadata-malformed", detail)
    try:
        return json.loads(answered.body)
    except ValueError as exc:
        raise CloudFailure("metadata-malformed", "not a document") from exc


def _may_be_plain(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address in PLAIN_HTTP_HOSTS


def _token(environ: Mapping[str, str]) -> Secret | None:
    """Return the authorization token, None where there is none. Raises CloudFailure (`bad-token-file`).

    What ends the file's only line is no part of it: `echo` writes one, and some SDKs refuse it.
    """
    path = environ.get(TOKEN_FILE)
    if not path:
        text = environ.get(TOKEN, "")
    else:
        try:
            with open(path, "rb") as file:
                text = file.read(MAX_TOKEN_BYTES).decode("latin-1").strip("\r\n")
        except OSError as exc:
            raise CloudFailure("bad-token-file", type(exc).__name__) from exc
    if not text.isascii() or not text.isprintable() or (path and not text):
        raise CloudFailure("bad-token-file")
    return Secret(text) if text else None


def _role(document: object) -> str:
    """Return the role's ARN, which ECS says and EKS does not."""
    arn = document.get("RoleArn") if isinstance(document, dict) else None
    return arn if isinstance(arn, str) else ""
