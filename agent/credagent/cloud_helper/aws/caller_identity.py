"""Whose AWS credentials these are (sts:GetCallerIdentity). Not being told is no failure where it is only shown."""

import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from credagent.cloud_helper.aws.clients import client
from credagent.cloud_helper.aws.errors import from_botocore, skew_of
from credagent.cloud_helper.failures import CloudFailure
from credagent.credentials import AwsCredentials

PATIENCE_S = 2.5
"""How long a name server or an unreachable STS may hold up credentials that are in hand already."""


class AwsCaller(Struct, frozen=True, kw_only=True):
    """Who AWS says that credentials belong to. `skew_s` is its clock minus ours, None where it gave no time."""

    arn: str
    account: str
    skew_s: float | None = None


def caller_if_told(
    credentials: AwsCredentials, region: str, *, patience_s: float = PATIENCE_S
) -> AwsCaller | CloudFailure:
    """Ask STS, but neither wait long nor fail.

    In a thread, because no time-out reaches a name server that hangs. The thread is left behind; the process ends soon.
    The client is made before: how long that takes says nothing about STS.
    """
    outcome: list[AwsCaller | CloudFailure] = []
    sts = client("sts", credentials, region)

    def ask() -> None:
        try:
            outcome.append(_asked(sts))
        except CloudFailure as failure:
            outcome.append(failure)
        except Exception as exc:  # noqa: BLE001  a thread's exception is printed, and its text may hold secrets
            outcome.append(CloudFailure("helper-defect", type(exc).__name__))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience_s)
    return outcome[0] if outcome else CloudFailure("unreachable", f"no answer within {patience_s:g} s")


def _asked(sts: Any) -> AwsCaller:  # noqa: ANN401  botocore has no types
    try:
        response = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    arn, account = response.get("Arn"), response.get("Account")
    if not isinstance(arn, str) or not isinstance(account, str):
        raise CloudFailure("malformed-answer")
    return AwsCaller(arn=arn, account=account, skew_s=skew_of(response))
