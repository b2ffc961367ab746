"""The instance's role, from EC2 instance metadata.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
"""

import json
import os
import re
from datetime import UTC, datetime

from credagent.cloud_helper.aws import imds_client
from credagent.cloud_helper.aws.credential_document import credentials_from
from credagent.cloud_helper.aws.imds_client import NOT_FOUND, OK, ImdsSession
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http.metadata_client import MetadataResponse
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.cloud_helper.machine_vendor import maker
from credagent.credentials import Origin

ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
REGION_PATH = "/latest/meta-data/placement/region"
ROLE_NAME = re.compile(rb"[\w+=,.@-]{1,64}")
REGION_NAME = re.compile(rb"[a-z0-9-]{1,40}")


def obtain(region: str) -> AwsObtained:
    """Return the credentials of the instance's role, without its principal. Raises CloudFailure."""
    session = imds_client.open_session(imds_client.place_by(os.environ, maker()))
    role = role_in(session.get(ROLES_PATH))
    answered = session.get(ROLES_PATH + role)
    document = document_in(answered)
    credentials, notices = credentials_from(
        document, region=region or region_of(session), now=datetime.now(UTC), skew_s=answered.skew_s
    )
    return AwsObtained(
        credentials=credentials,
        origin=Origin.AWS_METADATA,
        role=role,
        method="iam-role",
        notices=notices,
        skew_s=answered.skew_s,
    )


def role_in(answered: MetadataResponse) -> str:
    """Return the name of the role. Raises CloudFailure (`no-role` where the instance has none). Pure."""
    name = _content(answered).strip()
    if not ROLE_NAME.fullmatch(name):
        raise CloudFailure("metadata-malformed", "not the name of a role")
    return name.decode("ascii")


def document_in(answered: MetadataResponse) -> object:
    """Return the credential document. Raises CloudFailure. Pure."""
    content = _content(answered)
    try:
        return json.loads(content)
    except ValueError as exc:
        raise CloudFailure("metadata-malformed", "not a document" if content else "an empty answer") from exc


def _content(answered: MetadataResponse) -> bytes:
    if answered.status == NOT_FOUND:
        raise CloudFailure("no-role")
    if answered.status != OK:
        raise imds_client.refusal(answered)
    return answered.body


def region_of(session: ImdsSession) -> str:
    """Return the region the instance is in; empty where metadata does not say (that alone is no failure)."""
    try:
        answered = session.get(REGION_PATH)
    except CloudFailure:
        return ""
    name = answered.body.strip()
    return name.decode("ascii") if answered.status == OK and REGION_NAME.fullmatch(name) else ""
