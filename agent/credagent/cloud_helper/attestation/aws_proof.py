"""A signed request of sts:GetCallerIdentity whose signature covers the binding. Made here, sent by the verifier.

GET with the signature in the query: a signed POST in a stranger's hands logs in to servers of other products that take
one (Vault's AWS method); this one does not, and says for whom it is in a header of its own, which is signed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import os
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec import structs

from credagent.attestation.proof import AwsProof
from credagent.cloud_helper.attestation import sts_host
from credagent.cloud_helper.aws import imds_client, instance_metadata, local_identity, machine_identity
from credagent.cloud_helper.aws.clients import FALLBACK_REGION
from credagent.cloud_helper.aws.credential_document import credentials_from
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import AwsMachineIdentity
from credagent.cloud_helper.machine_vendor import maker
from credagent.credentials import AwsCredentials
from credagent.errors import Refused

BINDING_HEADER = "x-credagent-binding"
SIGNED_HEADERS = f"host;{BINDING_HEADER}"
EXPIRES_S = "900"
ACTION = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
IDENTITY_PATH = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html#ec2-instance-identity-roles"""


def by_machine(binding: str, *, by_role: bool) -> tuple[AwsProof, str]:
    """Return a proof by this machine's identity, and a notice. Raises CloudFailure.

    By the instance identity role where it is to be had, unless `by_role`; else by the role that the machine has.
    """
    why = ""
    if not by_role:
        try:
            return signed(_instance_identity(), binding), ""
        except CloudFailure as failure:
            why = f"no instance identity role ({failure.code}), so the machine's role attests"
            instead_of = failure
    try:
        found = machine_identity.obtain(AwsMachineIdentity()).credentials
    except CloudFailure as failure:
        # What keeps the first from being had is what a person can do something about.
        raise (failure if by_role or failure.code != "no-role" else instead_of) from failure
    return signed(found, binding), why


def by_sender(binding: str, profile: str) -> AwsProof:
    """Return a proof by the identity that boto3 would use here. Raises CloudFailure."""
    session = local_identity.local_session(profile)
    found, _, _ = local_identity.found_credentials(session)
    return signed(structs.replace(found, region=local_identity.region_of(session) or FALLBACK_REGION), binding)


def signed(credentials: AwsCredentials, binding: str) -> AwsProof:
    """Return the proof of these credentials. Nothing is sent."""
    if not credentials.region:
        raise CloudFailure("no-region")
    token = credentials.session_token.reveal() if credentials.session_token else ""
    try:
        host = sts_host.of_region(credentials.region).name
    except Refused as error:
        raise CloudFailure("no-region", error.why) from error
    request = AWSRequest(method="GET", url=f"https://{host}/?{urlencode(ACTION)}", headers={BINDING_HEADER: binding})
    keys = Credentials(credentials.access_key_id, credentials.secret_access_key.reveal(), token or None)
    SigV4QueryAuth(keys, "sts", credentials.region, expires=int(EXPIRES_S)).add_auth(request)
    said = parse_qs(urlsplit(str(request.url)).query, strict_parsing=True)
    proof = AwsProof(
        region=credentials.region,
        access_key_id=credentials.access_key_id,
        signed_at=said["X-Amz-Date"][0],
        signature=said["X-Amz-Signature"][0],
        session_token=token,
    )
    if said["X-Amz-SignedHeaders"] != [SIGNED_HEADERS] or sorted(said) != sorted(query_of(proof)):
        raise CloudFailure("helper-defect", "botocore signs other parts than a verifier rebuilds")
    return proof


def query_of(proof: AwsProof) -> dict[str, str]:
    """Return every parameter of the request that a proof stands for."""
    day = proof.signed_at.partition("T")[0]
    return {
        **ACTION,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{proof.access_key_id}/{day}/{proof.region}/sts/aws4_request",
        "X-Amz-Date": proof.signed_at,
        "X-Amz-Expires": EXPIRES_S,
        "X-Amz-SignedHeaders": SIGNED_HEADERS,
        "X-Amz-Signature": proof.signature,
        **({"X-Amz-Security-Token": proof.session_token} if proof.session_token else {}),
    }


def encoded(query: dict[str, str]) -> str:
    """Return a query as SigV4 canonicalises it: RFC 3986's unreserved characters stay."""
    return urlencode(query, quote_via=quote, safe="-_.~")


def _instance_identity() -> AwsCredentials:
    session = imds_client.open_session(imds_client.place_by(os.environ, maker()))
    answered = session.get(IDENTITY_PATH)
    credentials, _ = credentials_from(
        instance_metadata.document_in(answered),
        region=instance_metadata.region_of(session),
        now=datetime.now(UTC),
        skew_s=answered.skew_s,
    )
    return credentials
