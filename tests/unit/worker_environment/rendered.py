"""Credential sets and plans that the golden files are made of, and the comparison with those files.

After a change that is meant, `UPDATE_GOLDEN=1 pytest tests/unit/rules` writes the files anew; the difference is then
read before it is committed.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from credagent.credentials import AwsCredentials, CredentialSet, Empty, GoogleToken, Held, Origin, Variables
from credagent.secret import Secret
from credagent.worker_environment.rendering import HandoverPlan

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
EXPIRES_AT = datetime(2026, 11, 22, 13, 0, 0, 999_999, tzinfo=UTC)

SESSION = AwsCredentials(
    access_key_id="ASIAEXAMPLE000000001",
    secret_access_key=Secret("secret/of+session"),
    session_token=Secret("token//of==session"),
    expires_at=EXPIRES_AT,
    region="eu-central-1",
)
LONG_TERM = AwsCredentials(access_key_id="AKIAEXAMPLE000000002", secret_access_key=Secret("secret/of+key"))
TOKEN = GoogleToken(
    access_token=Secret("ya29.example"),
    expires_at=EXPIRES_AT,
    email="data@example.iam.gserviceaccount.com",
    project="example-data",
)
VARIABLES = Variables(
    values={
        "DB_TOKEN": Secret("plain-value"),
        "DB_QUOTED": Secret('it\'s "quoted" with a \\ and a $HOME'),
        "DB_PEM": Secret("-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"),
        "DB_SPACES": Secret(" both ends "),
        "DB_EMPTY": Secret(""),
        "DB_UMLAUT": Secret("Schlüssel"),
    }
)


def held(credentials: AwsCredentials | GoogleToken | Variables, *, expires_at: datetime | None = None) -> Held:
    """Return `credentials` as a bundle brought them."""
    return Held(credentials=credentials, origin=Origin.BUNDLE, obtained_at=NOW, expires_at=expires_at)


ABSENT = Empty()
CLOSED = Empty(may_fall_back=False)
WITHDRAWN = Empty(may_fall_back=False, withdrawn=True)

FILLED = CredentialSet(
    generation=4,
    aws=held(SESSION, expires_at=EXPIRES_AT),
    google=held(TOKEN, expires_at=EXPIRES_AT),
    environment=held(VARIABLES),
)

ENVIRONMENT = HandoverPlan(metadata_host="127.0.0.1:9817", handed_out=frozenset({"DB_TOKEN", "DB_PEM"}))
ENDPOINT = HandoverPlan(
    aws="endpoint",
    metadata_host="127.0.0.1:9817",
    endpoint_uri="http://127.0.0.1:9817/aws/credentials",
    endpoint_token=Secret("bearer-of-the-boot"),
    endpoint_token_file="/run/credagent/token",
    handed_out=frozenset({"DB_TOKEN"}),
)
OFF = HandoverPlan(aws="off", google="off")

CASES: Mapping[str, tuple[CredentialSet, HandoverPlan]] = {
    "environment-filled": (FILLED, ENVIRONMENT),
    "environment-long-term": (CredentialSet(generation=1, aws=held(LONG_TERM)), ENVIRONMENT),
    "environment-closed": (CredentialSet(generation=1, aws=CLOSED, google=CLOSED, environment=CLOSED), ENVIRONMENT),
    "environment-withdrawn": (
        CredentialSet(generation=5, aws=WITHDRAWN, google=WITHDRAWN, environment=WITHDRAWN),
        ENVIRONMENT,
    ),
    "endpoint-filled": (FILLED, ENDPOINT),
    "endpoint-closed": (CredentialSet(generation=1, aws=CLOSED, google=CLOSED, environment=CLOSED), ENDPOINT),
    "endpoint-withdrawn": (
        CredentialSet(generation=5, aws=WITHDRAWN, google=WITHDRAWN, environment=WITHDRAWN),
        ENDPOINT,
    ),
    "off-filled": (FILLED, OFF),
    "absent": (CredentialSet(generation=1, aws=ABSENT, google=ABSENT, environment=ABSENT), ENVIRONMENT),
}

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name: str, found: bytes) -> None:
    """Compare with the file `name`, byte for byte."""
    path = GOLDEN / name
    if "UPDATE_GOLDEN" in os.environ:
        path.write_bytes(found)
    assert found == path.read_bytes()
