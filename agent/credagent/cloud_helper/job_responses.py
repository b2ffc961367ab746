"""What the helper process answers: what a cloud gave, or why it gave nothing. No SDK and no I/O here."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from credagent.attestation.identity import AwsIdentity, GoogleIdentity
from credagent.credentials import AwsCredentials, GoogleToken, Held, Origin
from credagent.secret import Secret


class Notice(Struct, frozen=True, kw_only=True):
    """Something a person should know about credentials that were nevertheless obtained."""

    code: str
    why: str


class AwsObtained(Struct, frozen=True, kw_only=True, tag="aws-obtained"):
    """AWS credentials and whose they are. `principal` is empty where the cloud did not say.

    `role` is the machine's role as its platform names it, empty where it does not.
    `method` is where a local identity was found, in botocore's words (`sso`, `env`, …). `expiry_known` False: the
    expiry is our cautious guess. `skew_s` is the service's clock minus ours, None where no service gave its time.
    """

    credentials: AwsCredentials
    origin: Origin
    principal: str = ""
    role: str = ""
    account: str = ""
    method: str = ""
    expiry_known: bool = True
    notices: tuple[Notice, ...] = ()
    skew_s: float | None = None

    def held(self, obtained_at: datetime) -> Held:
        """Return this as the content of a slot."""
        return Held(
            credentials=self.credentials,
            origin=self.origin,
            principal=self.principal,
            obtained_at=obtained_at,
            expires_at=self.credentials.expires_at,
        )


class GoogleObtained(Struct, frozen=True, kw_only=True, tag="google-obtained"):
    """A Google access token and whose it is; the fields are those of `AwsObtained`."""

    token: GoogleToken
    origin: Origin
    principal: str = ""
    method: str = ""
    notices: tuple[Notice, ...] = ()
    skew_s: float | None = None

    def held(self, obtained_at: datetime) -> Held:
        """Return this as the content of a slot."""
        return Held(
            credentials=self.token,
            origin=self.origin,
            principal=self.principal,
            obtained_at=obtained_at,
            expires_at=self.token.expires_at,
        )


class GoogleRefreshToken(Struct, frozen=True, kw_only=True, tag="google-refresh-token"):
    """The long-term Google credential of a local user; asked for only where both sides said so by name."""

    client_id: str
    client_secret: Secret
    refresh_token: Secret
    token_uri: str
    project: str = ""
    principal: str = ""


class Plaintext(Struct, frozen=True, kw_only=True, tag="plaintext"):
    """What a key service opened: standard base64, as a secret."""

    plaintext_base64: Secret


class Ciphertext(Struct, frozen=True, kw_only=True, tag="ciphertext"):
    """What a key service closed. Not a secret."""

    ciphertext: bytes


class Content(Struct, frozen=True, kw_only=True, tag="content"):
    """The present content of a pull channel. `data` None: there is none. `version`: its ETag or generation."""

    data: bytes | None = None
    version: str = ""
    unchanged: bool = False


class Stored(Struct, frozen=True, kw_only=True, tag="stored"):
    """A bundle that was written. `notice` is for the person who wrote it."""

    version: str = ""
    notice: str = ""


class GoogleCertificates(Struct, frozen=True, kw_only=True):
    """Google's published certificates by their key's id, and until when they may be kept."""

    by_key_id: Mapping[str, str]
    good_until: datetime


class AttestationMade(Struct, frozen=True, kw_only=True, tag="attestation-made"):
    """The text of an attestation. `notice` says why it says less than it could."""

    attestation: str
    notice: str = ""


class AttestationOutcome(Struct, frozen=True, kw_only=True):
    """Whose one attestation is; else why it is not believed, and whether asking again soon can help (`retry`)."""

    identity: AwsIdentity | GoogleIdentity | None = None
    code: str = ""
    why: str = ""
    hint: str = ""
    retry: bool = False


class AttestationsVerified(Struct, frozen=True, kw_only=True, tag="attestations-verified"):
    """What became of each claim, in their order; and Google's certificates, to be kept for the next request."""

    outcomes: tuple[AttestationOutcome, ...]
    google: GoogleCertificates | None = None


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """Why there is no answer: a stable code and texts of our own writing.

    `retry_after_s` is how long the service asks to be left alone, None where it does not say.
    """

    code: str
    what: str
    why: str
    hint: str = ""
    retry: bool = True
    retry_after_s: float | None = None


Answer = (
    AwsObtained
    | GoogleObtained
    | GoogleRefreshToken
    | Plaintext
    | Ciphertext
    | Content
    | Stored
    | AttestationMade
    | AttestationsVerified
)
Reply = Answer | Failed
