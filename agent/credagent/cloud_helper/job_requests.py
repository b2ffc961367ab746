"""What may be asked of the helper process. No SDK and no I/O here; how it travels is in `helper_protocol`.

Each request names its answer: a caller that sends `AwsAssumeRole` gets `AwsObtained`, or a failure.
"""

from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from credagent.cloud_helper.job_responses import (
    AttestationMade,
    AttestationsVerified,
    AwsObtained,
    Ciphertext,
    Content,
    GoogleCertificates,
    GoogleObtained,
    GoogleRefreshToken,
    Plaintext,
    Stored,
)
from credagent.credentials import AwsCredentials, GoogleToken
from credagent.secret import Secret

A = TypeVar("A")

WhoseIdentity = Literal["machine", "local"]
"""`machine`: the cloud's word for this machine, never a file of its user. `local`: what boto3 and gcloud would use."""


class RequestFor(Struct, Generic[A], frozen=True):
    """A request whose answer is an `A`."""


class AwsMachineIdentity(RequestFor[AwsObtained], frozen=True, kw_only=True, tag="aws-machine-identity"):
    """The machine's own AWS identity: web identity, else container credentials, else instance metadata.

    One that is configured and fails is a failure; the next one is not tried in its place. STS is not asked whose they
    are where the role is `known_role` still.
    """

    region: str = ""
    known_role: str = ""


class AwsAssumeRole(RequestFor[AwsObtained], frozen=True, kw_only=True, tag="aws-assume-role"):
    """A role, assumed from `session`, or from the machine's own identity where that is None."""

    role_arn: str
    session_name: str = ""
    external_id: str = ""
    duration_s: int = 3600
    policy: str = ""
    tags: Mapping[str, str] = {}
    region: str = ""
    session: AwsCredentials | None = None


class AwsLocalIdentity(RequestFor[AwsObtained], frozen=True, kw_only=True, tag="aws-local-identity"):
    """The identity that boto3 would use here, made into a session. `profile` empty: its default chain.

    `duration_s` is asked of STS for a session made from a long-term key, and is a person's word on how long a session
    lives that came without an expiry. `allow_long_term` takes a long-term key as it is.
    """

    profile: str = ""
    duration_s: int | None = None
    allow_long_term: bool = False


class GoogleMachineToken(RequestFor[GoogleObtained], frozen=True, kw_only=True, tag="google-machine-token"):
    """A token of the service account that this machine runs as."""

    scopes: tuple[str, ...] = ()
    project: str = ""


class GoogleAuthorizedUserToken(
    RequestFor[GoogleObtained], frozen=True, kw_only=True, tag="google-authorized-user-token"
):
    """A token for a refresh token."""

    client_id: str
    client_secret: Secret
    refresh_token: Secret
    token_uri: str
    project: str = ""
    scopes: tuple[str, ...] = ()


class GoogleImpersonate(RequestFor[GoogleObtained], frozen=True, kw_only=True, tag="google-impersonate"):
    """A token of the service account `target`, by `token`, or by the machine's own identity where that is None."""

    target: str
    lifetime_s: int = 3600
    project: str = ""
    scopes: tuple[str, ...] = ()
    token: GoogleToken | None = None


class GoogleLocalToken(RequestFor[GoogleObtained], frozen=True, kw_only=True, tag="google-local-token"):
    """An access token of the application-default credentials."""

    scopes: tuple[str, ...] = ()


class GoogleLocalRefreshToken(
    RequestFor[GoogleRefreshToken], frozen=True, kw_only=True, tag="google-local-refresh-token"
):
    """The refresh token of the application-default credentials."""


class KmsDecrypt(RequestFor[Plaintext], frozen=True, kw_only=True, tag="kms-decrypt"):
    """Open what `KmsEncrypt` closed under the same key and binding. `key` is `aws-kms:ARN` or `gcp-kms:NAME`.

    AWS binds to `context` (encryption context), Google to `associated_data` (additional authenticated data).
    """

    key: str
    ciphertext: bytes
    context: Mapping[str, str]
    associated_data: bytes
    identity: WhoseIdentity = "machine"


class KmsEncrypt(RequestFor[Ciphertext], frozen=True, kw_only=True, tag="kms-encrypt"):
    """Close `plaintext_base64` under a key that does not leave its service, bound as for `KmsDecrypt`."""

    key: str
    plaintext_base64: Secret
    context: Mapping[str, str]
    associated_data: bytes
    identity: WhoseIdentity = "local"


class AttestMachine(RequestFor[AttestationMade], frozen=True, kw_only=True, tag="attest-machine"):
    """A proof by this machine's identity that carries `binding` (`attestation.statement`).

    On AWS by the instance identity role, which says which instance this is; `by_role`: by the machine's own role.
    """

    binding: str
    by_role: bool = False


class AttestSender(RequestFor[AttestationMade], frozen=True, kw_only=True, tag="attest-sender"):
    """A proof by the identity of whoever sends: that of `profile` (empty: boto3's default chain), or Google's."""

    binding: str
    by_google: bool = False
    profile: str = ""


class AttestationClaim(Struct, frozen=True):
    """An attestation, and the binding that it has to carry."""

    attestation: str
    binding: str


class VerifyAttestations(RequestFor[AttestationsVerified], frozen=True, kw_only=True, tag="verify-attestations"):
    """Whose these attestations are, by their clouds' word. `google`: certificates that an earlier answer brought."""

    claims: tuple[AttestationClaim, ...]
    google: GoogleCertificates | None = None


class ChannelGet(RequestFor[Content], frozen=True, kw_only=True, tag="channel-get"):
    """The present content of a pull channel, at most `max_bytes` of it.

    `address` is as configured: `s3://…`, `gs://…`, `https://…`, `aws-ssm:NAME`, `ec2-user-data`, `gce-attribute:NAME`.
    `version` is that of the content the caller has; the answer may then be `unchanged`. With `wait_s` too, a channel
    that can be waited for (`gce-attribute`) answers when it changes, or after that time.
    """

    address: str
    max_bytes: int
    version: str = ""
    wait_s: int = 0
    region: str = ""
    identity: WhoseIdentity = "machine"


class ChannelPut(RequestFor[Stored], frozen=True, kw_only=True, tag="channel-put"):
    """Put a sealed bundle on a channel that can be written from afar: `s3://…`, `gs://…`, `aws-ssm:NAME`.

    It lies in the file at `path`: it may be larger than what the pipe to the helper takes at once.
    """

    address: str
    path: str
    region: str = ""
    identity: WhoseIdentity = "local"
