"""Credentials in the documents of the vendors' protocols, with AWS's and Google's spellings. Nothing is served here."""

from collections.abc import Mapping
from datetime import UTC, datetime

from credagent.credentials import AwsCredentials, GoogleToken, Held, SlotContent, ends_at

UNBOUNDED = "2099-12-31T23:59:59Z"  # a long-term key: the variable exists from the start, so that it can be replaced


def aws_credentials(content: SlotContent) -> AwsCredentials | None:
    """Return the AWS credentials in a slot, None where it holds none."""
    match content:
        case Held(credentials=AwsCredentials() as aws):
            return aws
        case _:
            return None


def stamp(moment: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SSZ`, the only form that every client reads; fractions are cut, never rounded up."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container_json(held: Held) -> bytes | None:
    """Return AWS's container credentials document (HTTP credential provider in the SDK reference guide).

    None where the protocol cannot carry them: without a token botocore fails with a KeyError, and without an
    expiry a client would keep a long-term key for ever.
    """
    aws = aws_credentials(held)
    if aws is None or aws.session_token is None:
        return None
    return _compact({**_aws_document(aws), "Token": aws.session_token.reveal(), "Expiration": expiration(held)})


def instance_metadata_json(held: Held) -> bytes | None:
    """Return the document of EC2's `iam/security-credentials/NAME`; None where `container_json` would be None."""
    aws = aws_credentials(held)
    if aws is None or aws.session_token is None:
        return None
    head = {"Code": "Success", "LastUpdated": stamp(held.obtained_at), "Type": "AWS-HMAC"}
    secrets = {"Token": aws.session_token.reveal(), "Expiration": expiration(held)}
    return _compact({**head, **_aws_document(aws), **secrets})


def credential_process(held: Held) -> dict[str, object] | None:
    """Return the document that the AWS SDKs expect of a `credential_process`, None for anything but AWS credentials."""
    aws = aws_credentials(held)
    if aws is None:
        return None
    document: dict[str, object] = {"Version": 1, **_aws_document(aws)}
    if aws.session_token is not None:
        document["SessionToken"] = aws.session_token.reveal()
    if held.expires_at or aws.expires_at:
        document["Expiration"] = expiration(held)
    return document


def google_token(token: GoogleToken, now: datetime) -> bytes:
    """Return the metadata server's answer for an access token (Compute Engine, "Authenticate workloads")."""
    remaining_s = max(0, int((token.expires_at - now).total_seconds()))
    return _compact({"access_token": token.access_token.reveal(), "expires_in": remaining_s, "token_type": "Bearer"})


def expiration(content: SlotContent) -> str:
    """Return when the credentials end by themselves or by the bundle's bound, whichever comes first."""
    end = ends_at(content) if isinstance(content, Held) else None
    return UNBOUNDED if end is None else stamp(end)


def _aws_document(aws: AwsCredentials) -> dict[str, object]:
    return {"AccessKeyId": aws.access_key_id, "SecretAccessKey": aws.secret_access_key.reveal()}


def _compact(document: Mapping[str, object]) -> bytes:
    import json  # noqa: PLC0415  the daemon starts without it

    return json.dumps(document, separators=(",", ":")).encode()
