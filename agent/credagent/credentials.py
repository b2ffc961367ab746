"""What a slot can hold: AWS credentials, a Google token, custom variables, and the set of all three.

Frozen values only. Fetching, rendering and judging them belong to `slots` and `worker_environment`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from credagent.secret import Secret


class Slot(str, Enum):
    """What a grant fills. The order is the order in which people see them."""

    AWS = "aws"
    GOOGLE = "google"
    ENVIRONMENT = "environment"


class Statement(str, Enum):
    """What a bundle says of a slot."""

    GRANTED = "granted"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"
    WITHDRAWN = "withdrawn"


class Origin(str, Enum):
    """The source that a slot's present credentials came from, as shown to people."""

    BUNDLE = "bundle"
    ASSUMED_ROLE = "assumed-role"
    WEB_IDENTITY = "web-identity"
    CONTAINER = "container"
    AWS_METADATA = "aws-metadata"
    GOOGLE_METADATA = "google-metadata"
    IMPERSONATION = "impersonation"
    REFRESH_TOKEN = "refresh-token"  # noqa: S105  the name of an origin
    NONE = "none"


class AwsCredentials(Struct, frozen=True, kw_only=True):
    """An AWS credential. `session_token` and `expires_at` (aware UTC) are None only for an admitted long-term key."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    expires_at: datetime | None = None
    region: str = ""


class GoogleToken(Struct, frozen=True, kw_only=True, cache_hash=True):
    """A Google OAuth 2.0 access token. `expires_at` is aware UTC; empty texts mean unknown."""

    access_token: Secret
    expires_at: datetime
    email: str = ""
    project: str = ""
    scopes: tuple[str, ...] = ()
    universe_domain: str = "googleapis.com"


class Variables(Struct, frozen=True, kw_only=True):
    """Custom environment variables, name to value. They have no expiry of their own."""

    values: Mapping[str, Secret]


Credentials = AwsCredentials | GoogleToken | Variables


class Held(Struct, frozen=True, kw_only=True, cache_hash=True):
    """Credentials in a slot, with where they came from. `expires_at` None: only the bundle's `not_after` ends them."""

    credentials: Credentials
    origin: Origin
    principal: str = ""
    obtained_at: datetime
    expires_at: datetime | None = None


class Empty(Struct, frozen=True, kw_only=True):
    """A slot without credentials, and what that means for workers.

    `may_fall_back`: nothing forbids a client library to look for the machine's identity itself.
    `withdrawn`: living processes must lose what they had (values are overwritten with invalid ones).
    """

    may_fall_back: bool = True
    withdrawn: bool = False


SlotContent = Held | Empty


def ends_at(held: Held) -> datetime | None:
    """Return the earlier of the credential's own end and the bundle's bound, None where there is neither."""
    own = None if isinstance(held.credentials, Variables) else held.credentials.expires_at
    if own is None or held.expires_at is None:
        return own or held.expires_at
    return min(own, held.expires_at)


def origin_of(content: SlotContent) -> str:
    """Return where a content came from, as people see it."""
    return (content.origin if isinstance(content, Held) else Origin.NONE).value


class CredentialSet(Struct, frozen=True, kw_only=True):
    """What workers see now: one content for each slot under one generation number. Replaced whole, never edited."""

    generation: int
    aws: SlotContent = Empty()
    google: SlotContent = Empty()
    environment: SlotContent = Empty()

    def content(self, slot: Slot) -> SlotContent:
        """Return what `slot` holds."""
        match slot:
            case Slot.AWS:
                return self.aws
            case Slot.GOOGLE:
                return self.google
            case Slot.ENVIRONMENT:
                return self.environment


def filled(content: SlotContent, now: datetime, min_validity: timedelta = timedelta(0)) -> bool:
    """Tell whether a slot holds credentials that are valid for `min_validity` from now."""
    return isinstance(content, Held) and (content.expires_at is None or content.expires_at - now >= min_validity)
