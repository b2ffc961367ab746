"""The plaintext of a bundle as types: statements and grants. Decoding is in `decoding`, sealing in `sealing`.

A field that is None or empty is absent from the JSON, and has no other form there (`canonical`).
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from credagent.credentials import Slot, Statement
from credagent.secret import Secret

VERSION = 1


class AwsSessionGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="aws-session"):
    """A temporary AWS session; `session_token` and `expires_at` are None only for a long-term key sent by name."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    expires_at: datetime | None = None
    region: str = ""
    principal: str = ""


class AwsAssumeRoleGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="aws-assume-role"):
    """A role to assume. `session` None: with the machine's own identity; else from that forwarded session.

    `duration_s` is what is asked of STS (900 to 43200; from a session at most 3600: role chaining).
    """

    role_arn: str
    session_name: str = ""
    external_id: str = ""
    duration_s: int = 3600
    policy: str = ""
    tags: Mapping[str, str] = {}
    region: str = ""
    session: AwsSessionGrant | None = None


class GoogleAccessTokenGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="google-access-token"):
    """A Google access token, good until `expires_at`."""

    access_token: Secret
    expires_at: datetime
    email: str = ""
    project: str = ""
    scopes: tuple[str, ...] = ()


class GoogleAuthorizedUserGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="google-authorized-user"):
    """A Google refresh token (long-term: admitted only where the configuration says so by name)."""

    client_id: str
    client_secret: Secret
    refresh_token: Secret
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
    project: str = ""
    scopes: tuple[str, ...] = ()


class GoogleImpersonationGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="google-impersonation"):
    """A Google service account to impersonate; `token` None: with the machine's own identity."""

    target: str
    lifetime_s: int = 3600
    project: str = ""
    scopes: tuple[str, ...] = ()
    token: GoogleAccessTokenGrant | None = None


class EnvironmentGrant(Struct, frozen=True, kw_only=True, tag_field="kind", tag="environment"):
    """Custom variables, name to value."""

    variables: Mapping[str, Secret]


AwsGrant = AwsSessionGrant | AwsAssumeRoleGrant
GoogleGrant = GoogleAccessTokenGrant | GoogleAuthorizedUserGrant | GoogleImpersonationGrant
Grant = AwsGrant | GoogleGrant | EnvironmentGrant

SLOT_OF_GRANT: Mapping[type[Grant], Slot] = {
    AwsSessionGrant: Slot.AWS,
    AwsAssumeRoleGrant: Slot.AWS,
    GoogleAccessTokenGrant: Slot.GOOGLE,
    GoogleAuthorizedUserGrant: Slot.GOOGLE,
    GoogleImpersonationGrant: Slot.GOOGLE,
    EnvironmentGrant: Slot.ENVIRONMENT,
}

KIND_OF_GRANT: Mapping[type[Grant], str] = {kind: str(kind.__struct_config__.tag) for kind in SLOT_OF_GRANT}


class Bundle(Struct, frozen=True, kw_only=True):
    """One delivery for each slot: a statement, and for a granted slot exactly one grant.

    `sequence` is the sender's wall clock in microseconds. `not_after` bounds use and renewal of all.
    """

    bundle_id: str
    sequence: int
    audience: str
    issued_at: datetime
    not_after: datetime
    slots: Mapping[Slot, Statement]
    grants: tuple[Grant, ...]

    def statement(self, slot: Slot) -> Statement:
        """Return what is said of `slot`."""
        return self.slots[slot]

    def grant(self, slot: Slot) -> Grant | None:
        """Return the grant of `slot`, None where the statement is not *granted*."""
        return next((grant for grant in self.grants if SLOT_OF_GRANT[type(grant)] is slot), None)
