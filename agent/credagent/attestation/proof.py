"""The text of an attestation, and the few parts that are read of it. No cloud is asked here.

The grammar leaves out everything that a verifier sets itself: host, path, method, parameters, headers. What cannot be
said cannot be smuggled in. Each part has one alphabet, without the colon that separates parts.
"""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from credagent.attestation.refusal_codes import AttestationCode, refusal

PREFIX = "credagent-attestation:1:"
MAX_CHARACTERS = 4096  # a session token has 400 to 1,500; the scheduler passes one on with every report
FRESH = timedelta(minutes=15)
"""STS believes a signature for so long; a token of Google's is held to the same."""
LEEWAY = timedelta(minutes=2)
"""How far the clock of whoever made it may be ahead."""
_VERSIONED = re.compile(r"credagent-attestation:([0-9]{1,9}):")
_CLOUD = re.compile(r"([a-z0-9-]{1,32}):(.*)", re.DOTALL)
_AWS = re.compile(
    r"(?P<region>[a-z]{2,8}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}):(?P<access_key_id>[A-Z0-9]{16,128}):"
    r"(?P<signed_at>[0-9]{8}T[0-9]{6}Z):(?P<signature>[0-9a-f]{64}):(?P<session_token>[A-Za-z0-9+/]*={0,2})"
)
_GOOGLE = re.compile(r"(?P<token>[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]{1,3072}\.[A-Za-z0-9_-]{1,1024})")
_SIGNING_TIME = "%Y%m%dT%H%M%SZ"


class AwsProof(Struct, frozen=True, kw_only=True, tag="aws"):
    """What is needed to rebuild one signed request of sts:GetCallerIdentity. `signed_at` as SigV4 writes it, UTC."""

    region: str
    access_key_id: str
    signed_at: str
    signature: str
    session_token: str = ""

    @property
    def text(self) -> str:
        """Return it as it travels."""
        parts = (self.region, self.access_key_id, self.signed_at, self.signature, self.session_token)
        return f"{PREFIX}aws:{':'.join(parts)}"


class GoogleProof(Struct, frozen=True, kw_only=True, tag="google"):
    """An identity token: a JWT of three parts."""

    token: str

    @property
    def text(self) -> str:
        """Return it as it travels."""
        return f"{PREFIX}google:{self.token}"


Proof = AwsProof | GoogleProof


def parse(text: str) -> Proof:
    """Return the parts of an attestation's text, or raise Refused. Whether it is true is not known here."""
    if len(text) > MAX_CHARACTERS:
        raise refusal(AttestationCode.TOO_LARGE, f"it has {len(text)} characters; {MAX_CHARACTERS} are possible")
    version = _VERSIONED.match(text)
    if version is None:
        raise refusal(AttestationCode.NOT_ONE, f"it does not begin with {PREFIX}")
    if version[1] != "1":
        raise refusal(AttestationCode.UNKNOWN_VERSION, "it has a version that this credagent does not know")
    said = _CLOUD.fullmatch(text[version.end() :])
    if said is None:
        raise refusal(AttestationCode.MALFORMED, "it names no cloud")
    match said[1]:
        case "aws":
            parts = _AWS.fullmatch(said[2])
            if parts is None:
                raise refusal(AttestationCode.MALFORMED, "its parts are not those of an AWS proof")
            return AwsProof(**parts.groupdict())
        case "google":
            parts = _GOOGLE.fullmatch(said[2])
            if parts is None:
                raise refusal(AttestationCode.MALFORMED, "it is not an identity token")
            return GoogleProof(**parts.groupdict())
        case _:
            raise refusal(AttestationCode.UNKNOWN_CLOUD, "it is of a cloud that this credagent does not know")


def describe(text: str) -> str:
    """Return the parts of an attestation that are nobody's secret, and the lengths of the others. Raises Refused."""
    found = parse(text)
    if isinstance(found, AwsProof):
        token = f"a session token of {len(found.session_token)} characters"
        return f"AWS, {found.region}, signed at {found.signed_at}, {token}; {len(text)} characters in all"
    return f"Google, a token of {len(found.token)} characters"


def signing_time(proof: AwsProof) -> datetime:
    """Return when it was signed, or raise Refused: 99 is no hour."""
    try:
        return datetime.strptime(proof.signed_at, _SIGNING_TIME).replace(tzinfo=UTC)
    except ValueError:
        raise refusal(AttestationCode.MALFORMED, "its time is none") from None


def demand_fresh(made_at: datetime, now: datetime) -> None:
    """Raise Refused where it is older than 15 minutes, or from a time to come."""
    if made_at > now + LEEWAY:
        raise refusal(AttestationCode.FUTURE, f"it was made {(made_at - now).total_seconds():.0f} s from now")
    if now - made_at > FRESH:
        raise refusal(AttestationCode.OLD, f"it was made {(now - made_at).total_seconds():.0f} s ago")
