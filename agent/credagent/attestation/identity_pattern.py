"""The identities by which a machine trusts senders: `trusted_identities` of its configuration. Pure.

    arn:aws:iam::123456789012:user/team/ana                     a user
    arn:aws:sts::123456789012:assumed-role/data-science/ana     one session's name of a role
    arn:aws:sts::123456789012:assumed-role/data-science/*       any session of a role
    google:etl@my-project.iam.gserviceaccount.com               a service account

Only a session's name may be left open: who has the role chooses it anyhow.
"""

import re
from collections.abc import Iterable

from credagent.attestation.identity import AwsIdentity, Identity

_OF_A_ROLE = re.compile(r"(?P<role>arn:[a-z-]+:sts::[0-9]{12}:assumed-role/[^/]+/)[^/]+", re.ASCII)
ANY_SESSION = "*"


def is_trusted(identity: Identity, trusted: Iterable[str]) -> bool:
    """Tell whether one of `trusted` names this identity."""
    return not {identity.name, pattern_of(identity)}.isdisjoint(trusted)


def pattern_of(identity: Identity) -> str:
    """Return what names this identity in a configuration: for a role, all of its sessions."""
    found = _OF_A_ROLE.fullmatch(identity.arn) if isinstance(identity, AwsIdentity) else None
    return f"{found['role']}{ANY_SESSION}" if found else identity.name


def pattern_of_arn(arn: str) -> str:
    """Return what names the identity of this ARN in a configuration."""
    found = _OF_A_ROLE.fullmatch(arn)
    return f"{found['role']}{ANY_SESSION}" if found else arn
