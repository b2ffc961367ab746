"""Why an attestation is not believed: each reason has a code of its own, with its hint. FORMAT.md explains them.

What keeps a machine from making one, and what keeps a cloud from being asked, is in `cloud_helper.failures`.
"""

from collections.abc import Mapping
from enum import Enum

from credagent.errors import Refused


class AttestationCode(str, Enum):
    """Why not, in the order in which the checks are made."""

    TOO_LARGE = "attestation-too-large"
    NOT_ONE = "attestation-not-one"
    UNKNOWN_VERSION = "attestation-unknown-version"
    UNKNOWN_CLOUD = "attestation-unknown-cloud"
    MALFORMED = "attestation-malformed"
    OLD = "attestation-old"
    FUTURE = "attestation-from-the-future"
    # What the cloud, or who answers in its place, says.
    REGION = "attestation-region"
    MISMATCH = "attestation-mismatch"
    SESSION_ENDED = "attestation-session-ended"
    KEY_UNKNOWN = "attestation-key-unknown"
    NOT_ANSWERED = "attestation-not-answered"
    REDIRECTED = "attestation-redirected"
    ANSWER_TOO_LARGE = "attestation-answer-too-large"
    ANSWER_NOT_JSON = "attestation-answer-not-json"
    ANSWER_MALFORMED = "attestation-answer-malformed"
    PARTITION = "attestation-partition"
    ACCOUNT = "attestation-account"
    INSTANCE = "attestation-instance"
    # What a token of Google's says.
    TOKEN_ALGORITHM = "token-algorithm"  # noqa: S105  the name of a failure
    TOKEN_HEADER = "token-header"  # noqa: S105  the name of a failure
    TOKEN_KEY = "token-key"  # noqa: S105  the name of a failure
    TOKEN_SIGNATURE = "token-signature"  # noqa: S105  the name of a failure
    TOKEN_ISSUER = "token-issuer"  # noqa: S105  the name of a failure
    TOKEN_AUDIENCE = "token-audience"  # noqa: S105  the name of a failure
    TOKEN_CLAIMS = "token-claims"  # noqa: S105  the name of a failure
    # What the policy says.
    OTHER_ACCOUNT = "other-account"
    OTHER_ROLE = "other-role"
    OTHER_PROJECT = "other-project"
    OTHER_SERVICE_ACCOUNT = "other-service-account"
    NOT_A_MACHINE = "not-a-machine"
    NOTHING_TRUSTED = "nothing-trusted"


_ANEW = "let the machine make a new one: it does when it is asked again; if it lasts, update credagent there"
_ON_THE_WAY = "find out what lies between this machine and the cloud: a proxy, a captive portal"
_CLOCKS = "set the clocks of both machines right (NTP)"
_FORGED = "do not trust where it came from: the cloud makes no such token"

HINTS: Mapping[AttestationCode, str] = {
    AttestationCode.TOO_LARGE: _ANEW,
    AttestationCode.NOT_ONE: _ANEW,
    AttestationCode.UNKNOWN_VERSION: "update credagent on this machine, or on the one that made it",
    AttestationCode.UNKNOWN_CLOUD: "update credagent on this machine, or on the one that made it",
    AttestationCode.MALFORMED: _ANEW,
    AttestationCode.OLD: f"{_ANEW}; {_CLOCKS}",
    AttestationCode.FUTURE: _CLOCKS,
    AttestationCode.REGION: "update botocore on this machine: it does not know the region",
    AttestationCode.MISMATCH: "it was altered, or made for another key, audience or purpose: find out who passed it on",
    AttestationCode.SESSION_ENDED: _ANEW,
    AttestationCode.KEY_UNKNOWN: _ANEW,
    AttestationCode.NOT_ANSWERED: _ON_THE_WAY,
    AttestationCode.REDIRECTED: _ON_THE_WAY,
    AttestationCode.ANSWER_TOO_LARGE: _ON_THE_WAY,
    AttestationCode.ANSWER_NOT_JSON: _ON_THE_WAY,
    AttestationCode.ANSWER_MALFORMED: _ON_THE_WAY,
    AttestationCode.PARTITION: _ON_THE_WAY,
    AttestationCode.ACCOUNT: _ON_THE_WAY,
    AttestationCode.INSTANCE: _ON_THE_WAY,
    AttestationCode.TOKEN_ALGORITHM: _FORGED,
    AttestationCode.TOKEN_HEADER: _FORGED,
    AttestationCode.TOKEN_KEY: _FORGED,
    AttestationCode.TOKEN_SIGNATURE: _FORGED,
    AttestationCode.TOKEN_ISSUER: _FORGED,
    AttestationCode.TOKEN_AUDIENCE: ("it was made for another key, audience or purpose: find out who passed it on"),
    AttestationCode.TOKEN_CLAIMS: _FORGED,
    AttestationCode.OTHER_ACCOUNT: 'if it is yours, name its account: attest={"aws_accounts": ["…"]}',
    AttestationCode.OTHER_ROLE: 'if it is yours, name its role: attest={"aws_roles": ["…"]}',
    AttestationCode.OTHER_PROJECT: 'if it is yours, name its project: attest={"google_projects": ["…"]}',
    AttestationCode.OTHER_SERVICE_ACCOUNT: 'if it is yours, name its account: attest={"google_accounts": ["…"]}',
    AttestationCode.NOT_A_MACHINE: (
        "its token names a service account and no machine (GKE workload identity): name that account, "
        'attest={"google_accounts": ["…"]}, if whoever has it may have your credentials'
    ),
    AttestationCode.NOTHING_TRUSTED: (
        'say whose machines are yours: attest={"aws_accounts": ["…"], "google_projects": ["…"]}'
    ),
}


def refusal(code: AttestationCode, why: str) -> Refused:
    """Return the error for `code`. `why` may hold names of accounts, roles, instances, regions and times."""
    return Refused(code.value, why, what="attestation refused", hint=HINTS[code])
