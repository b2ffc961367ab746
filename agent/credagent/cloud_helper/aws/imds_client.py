"""The EC2 instance metadata service, version 2: a session token, and what is asked with it. No SDK.

Where it is asked, and how patiently, is what the SDKs' own variables say. Each trouble has a code of its own:

    nobody at the address                          no-identity, or metadata-unreachable where one has to be there
    another cloud's service                        no-identity
    403                                            metadata-disabled
    the token never comes, other answers do        hop-limit
    half an answer, or one that makes no sense     metadata-malformed
    429, 5xx                                       throttled, service-error (with `Retry-After`)

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult

from msgspec import Struct

from credagent.cloud_helper.failures import SERVER_ERROR, CloudFailure, overload
from credagent.cloud_helper.http import metadata_client
from credagent.cloud_helper.http.metadata_client import MetadataResponse, MetadataSilent, Silence
from credagent.cloud_helper.machine_vendor import Maker

IPV4, IPV6 = "http://169.254.169.254", "http://[fd00:ec2::254]"
TIMEOUT_S, LONGEST_TIMEOUT_S = 1.0, 5.0  # each; metadata answers in milliseconds, and a machine without any must settle
ATTEMPTS, MOST_ATTEMPTS = 2, 5
TOKEN_LIFETIME_S = 60
MAX_TOKEN_BYTES = 1024
MAX_VALUE_BYTES = 64 * 1024
TOKEN = re.compile(rb"[!-~]+")
OK, FORBIDDEN, NOT_FOUND = 200, 403, 404
OTHER_CLOUDS_ANSWERS = frozenset({400, NOT_FOUND, 405})
"""What Azure's and OpenStack's services say to a request for a token."""


class ImdsPlace(Struct, frozen=True, kw_only=True):
    """Where the service is asked and how patiently. `is_expected`: configured, or this is an Amazon machine."""

    address: SplitResult
    is_expected: bool
    timeout_s: float = TIMEOUT_S
    attempts: int = ATTEMPTS


class ImdsSession(Struct, frozen=True, kw_only=True):
    """The right to ask, for a minute."""

    place: ImdsPlace
    token: str

    def get(self, path: str, *, max_bytes: int = MAX_VALUE_BYTES) -> MetadataResponse:
        """Return the answer, whatever its status. Raises CloudFailure where there is none."""
        headers = {"X-aws-ec2-metadata-token": self.token}
        try:
            return _asked(self.place, path, headers=headers, max_bytes=max_bytes)
        except MetadataSilent as silence:
            raise _silent(silence.kind, self.place) from silence


def place_by(environ: Mapping[str, str], made_by: Maker) -> ImdsPlace:
    """Return where `environ` says that the service is. Raises CloudFailure: `no-identity`, `bad-endpoint`."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise CloudFailure("no-identity", "AWS_EC2_METADATA_DISABLED is set")
    named = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
    if made_by == "google" and not named:
        raise CloudFailure("no-identity", "this is a Google Cloud machine")
    mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() or "ipv4"
    if mode not in {"ipv4", "ipv6"} or (named and "://" not in named):
        hint = "look at AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
        raise CloudFailure("bad-endpoint", hint=hint)
    return ImdsPlace(
        address=metadata_client.place_of(named or (IPV6 if mode == "ipv6" else IPV4)),
        is_expected=bool(named) or made_by == "amazon",
        timeout_s=min(_number(environ, "AWS_METADATA_SERVICE_TIMEOUT", TIMEOUT_S), LONGEST_TIMEOUT_S),
        attempts=int(min(_number(environ, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", ATTEMPTS), MOST_ATTEMPTS)),
    )


def open_session(place: ImdsPlace) -> ImdsSession:
    """Return a session with a token of its own. Raises CloudFailure.

    One late token is chance, and a hop limit loses every one of them: where the service answers what needs no token,
    the token is asked for once more before that is said.
    """
    try:
        return _session(place)
    except MetadataSilent as silence:
        if silence.kind == "connect" and not place.is_expected:
            raise CloudFailure("no-identity", "no metadata service") from silence
        if silence.kind != "read" or not _answers_without_token(place):
            raise _silent(silence.kind, place) from silence
    try:
        return _session(place)
    except MetadataSilent as again:
        raise (CloudFailure("hop-limit") if again.kind == "read" else _silent(again.kind, place)) from again


def _session(place: ImdsPlace) -> ImdsSession:
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFETIME_S)}
    answered = _asked(place, "/latest/api/token", method="PUT", headers=headers, max_bytes=MAX_TOKEN_BYTES)
    return ImdsSession(place=place, token=token_in(answered, place))


def token_in(answered: MetadataResponse, place: ImdsPlace) -> str:
    """Return the token in an answer. Raises CloudFailure. Pure."""
    if answered.headers.get("metadata-flavor") == "Google":
        raise CloudFailure("no-identity", "this is a Google Cloud machine")
    if answered.status in OTHER_CLOUDS_ANSWERS and not place.is_expected:
        raise CloudFailure("no-identity", "the metadata service is not Amazon's")
    if answered.status != OK:
        raise refusal(answered)
    token = answered.body.strip()
    if not TOKEN.fullmatch(token):
        raise CloudFailure("metadata-malformed", "not a token")
    return token.decode("ascii")


def refusal(answered: MetadataResponse) -> CloudFailure:
    """Return what an answer is that is not 200. Pure."""
    overloaded = overload(answered.status, answered.headers.get("retry-after"))
    if overloaded is not None:
        return overloaded
    code = "metadata-disabled" if answered.status == FORBIDDEN else "metadata-refused"
    return CloudFailure(code, f"HTTP {answered.status}")


def _asked(
    place: ImdsPlace, path: str, *, method: str = "GET", headers: Mapping[str, str], max_bytes: int
) -> MetadataResponse:
    """Ask until there is an answer that is no failure of the service, or the attempts are used up."""
    for left in reversed(range(place.attempts)):
        try:
            answered = metadata_client.ask(
                place.address,
                path,
                method=method,
                headers=headers,
                connect_s=place.timeout_s,
                wait_s=place.timeout_s,
                max_bytes=max_bytes,
            )
        except MetadataSilent:
            if left:
                continue
            raise
        if answered.status < SERVER_ERROR or not left:
            return answered
    raise AssertionError("there is at least one attempt")


def _answers_without_token(place: ImdsPlace) -> bool:
    """Tell whether the service answers what needs no token; a refusal is an answer too."""
    try:
        _asked(place, "/latest/meta-data/", headers={}, max_bytes=MAX_VALUE_BYTES)
    except (MetadataSilent, CloudFailure):
        return False
    return True


def _silent(kind: Silence, place: ImdsPlace) -> CloudFailure:
    if kind == "cut":
        return CloudFailure("metadata-malformed", "the connection was closed before the answer's end")
    return CloudFailure("metadata-unreachable", f"asked at {place.address.geturl()}")


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a number of at least 1 that a variable of the SDKs gives; what is none is as if it were not there."""
    text = environ.get(name, "").strip()
    whole = text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0  # noqa: PLR2004  five digits
    return float(text) if whole else default
