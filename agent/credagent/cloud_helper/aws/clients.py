"""Clients for AWS's services, made from botocore with explicit credentials and short times. No chain, no profile."""

from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.credentials import AwsCredentials

CONNECT_S = 3.0
READ_S = 8.0
FALLBACK_REGION = "us-east-1"
"""Where a question that any region can answer is asked, if none is known. Not for China or GovCloud."""


def client(
    service: str,
    credentials: AwsCredentials | None,
    region: str,
    *,
    connect_s: float = CONNECT_S,
    read_s: float = READ_S,
    session: Any = None,  # noqa: ANN401  botocore has no types
) -> Any:  # noqa: ANN401  botocore has no types
    """Return a client that tries once (the agent's renewal plan retries). `credentials` None: unsigned requests.

    STS is asked at its regional endpoint, unless AWS_ENDPOINT_URL_STS or AWS_STS_REGIONAL_ENDPOINTS says otherwise.
    """
    options = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent_extra="credagent",
        signature_version=UNSIGNED if credentials is None else None,
    )
    if not region:
        raise CloudFailure("no-region")
    secret = credentials.secret_access_key.reveal() if credentials else None
    token = credentials.session_token.reveal() if credentials and credentials.session_token else None
    with progress.preparing():  # it reads the service's description of half a megabyte
        return (session or botocore.session.Session()).create_client(
            service,
            region_name=region,
            aws_access_key_id=credentials.access_key_id if credentials else None,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=options,
        )
