"""Clients for the channels that AWS keeps: by the machine's identity to read, by a person's to write."""

from typing import Any

from botocore.config import Config

from credagent.cloud_helper.aws import clients, machine_identity
from credagent.cloud_helper.aws.local_identity import local_session
from credagent.cloud_helper.job_requests import AwsMachineIdentity, ChannelGet, ChannelPut


def client(service: str, request: ChannelGet | ChannelPut, region: str = "") -> Any:  # noqa: ANN401  botocore has no types
    """Return a client that tries once. `region` wins over the request's and the machine's. Raises CloudFailure."""
    wanted = region or request.region
    if request.identity == "machine":
        obtained = machine_identity.obtain(AwsMachineIdentity(region=wanted))
        # The region of a bucket need not be known: S3 names it in its refusal, and botocore then asks there.
        found = wanted or obtained.credentials.region or (clients.FALLBACK_REGION if service == "s3" else "")
        return clients.client(service, obtained.credentials, found)
    options = Config(
        connect_timeout=clients.CONNECT_S,
        read_timeout=clients.READ_S,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    session = local_session("")
    found = wanted or session.get_config_variable("region") or (clients.FALLBACK_REGION if service == "s3" else "")
    return session.create_client(service, region_name=found or None, config=options)
