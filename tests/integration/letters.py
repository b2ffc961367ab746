"""Letters of a person to a machine under test: what they grant is the canary."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from credagent.bundle.contents import AwsSessionGrant, Bundle, EnvironmentGrant, Grant
from credagent.bundle.sealing import new_bundle_id
from credagent.credentials import Slot, Statement
from credagent.secret import Secret
from tests.canary import CANARY

AUDIENCE = "lab"


def letter(
    *,
    aws: Statement = Statement.DECLINED,
    variables: Mapping[str, str] | None = None,
    seconds: float = 3600,
    later_s: float = 0,
    **changes: Any,
) -> Bundle:
    """Return a letter made now (or `later_s` later) that grants a variable, and a session where `aws` is granted."""
    now = datetime.now(UTC) + timedelta(seconds=later_s)
    values = {"DB_TOKEN": CANARY} if variables is None else variables
    grants: list[Grant] = [session(seconds)] if aws is Statement.GRANTED else []
    grants.append(EnvironmentGrant(variables={name: Secret(value) for name, value in values.items()}))
    fields: dict[str, Any] = {
        "bundle_id": new_bundle_id(),
        "sequence": int(now.timestamp() * 1e6),
        "audience": AUDIENCE,
        "issued_at": now,
        "not_after": now + timedelta(days=30),
        "slots": {Slot.AWS: aws, Slot.GOOGLE: Statement.DECLINED, Slot.ENVIRONMENT: Statement.GRANTED},
        "grants": tuple(grants),
    }
    return Bundle(**{**fields, **changes})


def session(seconds: float = 3600) -> AwsSessionGrant:
    """Return a forwarded session whose secrets are the canary."""
    return AwsSessionGrant(
        access_key_id="ASIAEXAMPLEEXAMPLE00",
        secret_access_key=Secret(CANARY),
        session_token=Secret(CANARY + "t" * 200),
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        region="eu-central-1",
        principal="arn:aws:sts::123456789012:assumed-role/reader/ana",
    )
