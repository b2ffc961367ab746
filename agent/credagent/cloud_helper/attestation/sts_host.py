"""The host of STS in a region, as botocore's table of partitions has it: never a host that somebody else names."""

import re

from botocore.loaders import create_loader
from msgspec import Struct

from credagent.attestation.refusal_codes import AttestationCode, refusal


class StsHost(Struct, frozen=True):
    """A host, and the partition whose accounts it knows."""

    name: str
    partition: str


def of_region(region: str) -> StsHost:
    """Return the regional host of STS. Raises Refused for a region of no partition."""
    table = create_loader().load_data("partitions")["partitions"]
    for partition in table:
        if re.fullmatch(partition["regionRegex"], region, re.ASCII):
            return StsHost(f"sts.{region}.{partition['outputs']['dnsSuffix']}", partition["id"])
    raise refusal(AttestationCode.REGION, f"no partition of AWS has a region {region}")
