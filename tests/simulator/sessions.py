"""AWS sessions as the issuing services make them: for a user, or for a role. No HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .accounts import Role
from .cloud import Cloud
from .ledger import Issued


def user_key(cloud: Cloud, name: str) -> Issued:
    """A long-term key, `AKIA…`, without expiry."""
    arn = cloud.account.user_arn(name)
    user_id = cloud.account.user_id(name)
    return cloud.ledger.issue_aws("user", arn, now=cloud.now(), lifetime_s=None, user_id=user_id)


def user_session(cloud: Cloud, user: Issued, asked_s: float) -> Issued:
    return cloud.ledger.issue_aws(
        "session-token",
        user.principal,
        now=cloud.now(),
        lifetime_s=cloud.lifetime("sts", asked_s),
        user_id=user.user_id,
        source=user.id,
        details={"asked_s": asked_s},
    )


def role_session(
    cloud: Cloud,
    kind: str,
    role: Role,
    session_name: str,
    *,
    lifetime_s: float,
    source: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Issued:
    return cloud.ledger.issue_aws(
        kind,
        cloud.account.session_arn(role.name, session_name),
        now=cloud.now(),
        lifetime_s=lifetime_s,
        user_id=f"{role.role_id}:{session_name}",
        source=source,
        details={"role": role.name, "session_name": session_name, **(details or {})},
    )


def is_role_session(issued: Issued) -> bool:
    """Assuming a role from one is role chaining, which AWS limits to an hour."""
    return "role" in issued.details
