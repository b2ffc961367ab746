"""The instance's role, from EC2 instance metadata (version 2 only), through botocore's own fetcher.

botocore answers every trouble with "no credentials"; which trouble it was is told from what the service answered.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.utils import InstanceMetadataFetcher

from credagent.cloud_helper.aws.credential_document import credentials_from
from credagent.cloud_helper.aws.recording_session import Exchange, RecordingSession
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_responses import AwsObtained
from credagent.cloud_helper.machine_vendor import Maker, maker
from credagent.credentials import Origin

TIMEOUT_S = 1  # each; metadata answers in milliseconds, and a machine without any has to settle
ATTEMPTS = 2
TOKEN_PATH = "/latest/api/token"  # noqa: S105  a path
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
REGION_PATH = "latest/meta-data/placement/region"
ROLE_NAME = re.compile(rb"\s*[\w+=,.@-]{1,64}\s*")
TOKEN = re.compile(rb"[!-~]+")
ANYTHING = re.compile(rb".*", re.DOTALL)
REGION_NAME = re.compile(r"[a-z0-9-]{1,40}")
OK, FORBIDDEN, NOT_FOUND, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 403, 404, 429, 500
OTHER_CLOUDS_ANSWERS = frozenset({400, 404, 405})  # what Azure's and OpenStack's service say to a request for a token


def obtain(region: str) -> AwsObtained:
    """Return the credentials of the instance's role, without its principal. Raises CloudFailure."""
    named = bool(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
    made_by = maker()
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise CloudFailure("no-identity", "AWS_EC2_METADATA_DISABLED is set")
    if made_by == "google" and not named:
        raise CloudFailure("no-identity", "this is a Google Cloud machine")
    fetcher, recording = recorded_fetcher()
    try:
        fetcher.retrieve_iam_role_credentials()
    except Exception:  # the recording knows more than whatever odd answers lead botocore to
        if not recording.exchanges:
            raise
    exchanges = tuple(recording.exchanges)
    document = _document(exchanges)
    if document is None:
        alive = _lost_token(exchanges) and _answers_without_token(fetcher)
        raise verdict(exchanges, made_by=made_by, named=named, answers_without_token=alive)
    now = datetime.now(UTC)
    credentials, notices = credentials_from(
        document, region=region or _region(fetcher, exchanges), now=now, skew_s=recording.skew_s
    )
    return AwsObtained(
        credentials=credentials,
        origin=Origin.AWS_METADATA,
        role=exchanges[-1].path.rpartition("/")[2],
        method="iam-role",
        notices=notices,
        skew_s=recording.skew_s,
    )


def recorded_fetcher() -> tuple[Any, RecordingSession]:
    """Return botocore's fetcher, pointed where the SDK's variables say, and the recording of what it is answered."""
    fetcher: Any = InstanceMetadataFetcher(
        timeout=TIMEOUT_S,
        num_attempts=ATTEMPTS,
        user_agent="credagent",
        config={
            "ec2_metadata_service_endpoint": os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
            "ec2_metadata_service_endpoint_mode": os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower(),
            "ec2_metadata_v1_disabled": True,
        },
    )
    recording = RecordingSession(fetcher._session)  # noqa: SLF001  there is no other place to listen
    fetcher._session = recording  # noqa: SLF001  as above
    return fetcher, recording


def verdict(
    exchanges: Sequence[Exchange], *, made_by: Maker = "", named: bool = False, answers_without_token: bool = False
) -> CloudFailure:
    """Return why no credentials came of these exchanges. Pure.

    `named`: the service's place is configured. `answers_without_token`: the service answers a request that needs no
    session token, so that one which did not come back was lost on the way: that is what a hop limit does.
    """
    last = exchanges[-1]
    foreign = made_by != "amazon" and not named
    if any(exchange.google for exchange in exchanges):
        return CloudFailure("no-identity", "this is a Google Cloud machine")
    if last.silence == "connect" and foreign:
        return CloudFailure("no-identity", "no metadata service")
    if last.status in OTHER_CLOUDS_ANSWERS and _is_token(last) and foreign:
        return CloudFailure("no-identity", "the metadata service is not Amazon's")
    if _lost_token(exchanges) and answers_without_token:
        return CloudFailure("hop-limit")
    if any(exchange.silence == "cut" for exchange in exchanges):
        return CloudFailure("metadata-malformed", "the connection was closed before the answer's end")
    if last.status is None:
        return CloudFailure("metadata-unreachable")
    for each in exchanges:
        wanted = TOKEN if _is_token(each) else ROLE_NAME if _is_role_list(each) else ANYTHING
        if each.status == OK and not wanted.fullmatch(each.body):
            return CloudFailure("metadata-malformed", f"not {'a token' if _is_token(each) else 'the name of a role'}")
    return _refusal(last)


def _refusal(last: Exchange) -> CloudFailure:
    status = last.status or 0
    if status == OK:
        return CloudFailure("metadata-malformed", "not a document" if last.body else "an empty answer")
    if status == TOO_MANY_REQUESTS:
        return CloudFailure("throttled", "HTTP 429")
    if status >= SERVER_ERROR:
        return CloudFailure("service-error", f"HTTP {status}")
    if status == FORBIDDEN:
        return CloudFailure("metadata-disabled", "HTTP 403")
    if status == NOT_FOUND and not _is_token(last):
        return CloudFailure("no-role")
    return CloudFailure("metadata-refused", f"HTTP {status}")


def _is_token(exchange: Exchange) -> bool:
    return exchange.path.endswith(TOKEN_PATH)


def _is_role_list(exchange: Exchange) -> bool:
    return exchange.path.endswith(ROLES_PATH)


def _lost_token(exchanges: Sequence[Exchange]) -> bool:
    return _is_token(exchanges[-1]) and exchanges[-1].silence == "read"


def _document(exchanges: Sequence[Exchange]) -> object:
    """Return the credential document, if the last answer is one that can be read."""
    last = exchanges[-1] if exchanges else None
    if last is None or last.status != OK or last.silence or ROLES_PATH not in last.path or _is_role_list(last):
        return None
    try:
        return json.loads(last.body)
    except ValueError:
        return None


def _answers_without_token(fetcher: Any) -> bool:  # noqa: ANN401  botocore has no types
    """Ask for something without a token: any answer shows that the service is there."""
    url = fetcher.get_base_url().rstrip("/") + "/latest/meta-data/"
    try:
        fetcher._session.send(AWSRequest(method="GET", url=url).prepare())  # noqa: SLF001  it asks with a token only
    except BotoCoreError:
        return False
    return True


def _region(fetcher: Any, exchanges: Sequence[Exchange]) -> str:  # noqa: ANN401  as above
    """Return the region the instance is in; empty where metadata does not say (that alone is no failure).

    botocore's own region fetcher cuts the last letter off the zone, which is wrong in a local zone.
    """
    token = next((each.body.decode("ascii", "replace") for each in reversed(exchanges) if _is_token(each)), "")
    try:
        response = fetcher._get_request(REGION_PATH, fetcher._default_retry, token=token)  # noqa: SLF001  as said
    except Exception:  # noqa: BLE001  its private class for "attempts exceeded" has no other name
        return ""
    name: str = response.text.strip()
    return name if REGION_NAME.fullmatch(name) else ""
