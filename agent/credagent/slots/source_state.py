"""One source and what came of it so far: frozen values, and what each outcome makes of them. No fetching here."""

from datetime import datetime, timedelta

from msgspec import Struct, structs

from credagent.bundle.contents import AwsSessionGrant, EnvironmentGrant, GoogleAccessTokenGrant, Grant
from credagent.credentials import AwsCredentials, GoogleToken, Held, Origin, Slot, Variables
from credagent.errors import CredagentError, Unavailable
from credagent.slots import renewal_schedule


class GrantSource(Struct, frozen=True, kw_only=True):
    """A grant of an admitted bundle; `not_after` bounds its use and renewal, `issued_at` is when it was sealed."""

    grant: Grant
    not_after: datetime
    issued_at: datetime


class MachineSource(Struct, frozen=True, kw_only=True):
    """The machine's own identity on the cloud that `slot` belongs to."""

    slot: Slot


Source = GrantSource | MachineSource

LIFE_WITHOUT_END = timedelta(hours=12)
NOTICED_STEP_S = 30.0  # of a clock that is set back; clocks that are steered move by less in the life of a credential
ABSENCE_CODES = frozenset({"no-identity", "no-role", "no-service-account"})


class SourceFailure(Struct, frozen=True, kw_only=True):
    """Why a source gave nothing: a stable code, a text of ours, since when and how often in a row."""

    code: str
    message: str
    hint: str = ""
    at: datetime
    failures: int = 1
    permanent: bool = False

    @property
    def quiet(self) -> bool:
        """Whether this is absence, not failure: no AWS identity on a Google machine, or on a laptop."""
        return self.code in ABSENCE_CODES


def failure_from(error: CredagentError, now: datetime) -> SourceFailure:
    """Return what status shows of a failed attempt."""
    permanent = isinstance(error, Unavailable) and not error.retry
    return SourceFailure(code=error.code, message=error.why, hint=error.hint, at=now, permanent=permanent)


class SourceState(Struct, frozen=True, kw_only=True):
    """A source, what is held from it, and its last failure. `retry_at` is on the monotonic clock, in seconds.

    `ahead_s` is by how much the wall clock was ahead of the monotonic one when what is held was obtained, and `back_s`
    by how much its times were moved since, because the wall clock was set back.
    """

    source: Source
    held: Held | None = None
    tried: bool = False
    failure: SourceFailure | None = None
    renew_at: datetime | None = None
    retry_at: float | None = None
    ahead_s: float | None = None
    back_s: float = 0.0

    @property
    def fetched(self) -> bool:
        """Whether credentials have to be fetched; a session, a token and variables are in the grant itself."""
        return isinstance(self.source, MachineSource) or not isinstance(
            self.source.grant, AwsSessionGrant | GoogleAccessTokenGrant | EnvironmentGrant
        )

    def attempted(self, now: datetime) -> bool:
        """Tell whether it is fetched at all: not what is in the grant itself, and nothing after the bundle's end."""
        return self.fetched and not self._ended(now)

    def seconds_until_due(self, now: datetime, monotonic: float) -> float:
        """Return the wait until the next attempt; infinite for what is not `attempted`."""
        if not self.attempted(now):
            return float("inf")
        if self.retry_at is not None:
            return self.retry_at - monotonic
        if self.renew_at is not None:
            return (self.renew_at - now).total_seconds()
        return 0.0

    def as_of(self, now: datetime) -> "SourceState":
        """Return the track as it stands at `now`: what has expired is no longer held, and a failure says so.

        What is in the grant itself is held again where a clock that was ahead has been set right.
        """
        if self.held is None and not self.fetched:
            again = held_from(self.source, now)
            return self if expired(again, now) else SourceState(source=self.source, held=again, tried=True)
        if self.held is None or not expired(self.held, now):
            return self
        if self._ended(now):
            code, message = "not-after", "the bundle's not_after has passed"
        else:
            code, message = "expired", "the credentials expired"
        hint = "" if self.fetched else "only the sender can renew these: deliver a new bundle"
        failure = self.failure or SourceFailure(code=code, message=message, hint=hint, at=self.held.expires_at or now)
        return structs.replace(self, held=None, failure=failure, renew_at=None)

    def set_back(self, now: datetime, monotonic: float) -> "SourceState":
        """Return the track with its times moved by what the wall clock was set back since it was obtained.

        By the clock alone it would look younger: what has expired would be handed out, and not be renewed, for as
        long as the clock was ahead. A session in a grant names its end by its sender's clock, and is left alone.
        """
        if self.held is None or self.ahead_s is None:
            return self
        back_s = max(self.ahead_s - ahead_s(now, monotonic), 0.0)
        if abs(back_s - self.back_s) < NOTICED_STEP_S:
            return self
        back = timedelta(seconds=back_s - self.back_s)
        ends, renewed = self.held.expires_at, self.renew_at
        held = structs.replace(
            self.held, obtained_at=self.held.obtained_at - back, expires_at=ends - back if ends is not None else None
        )
        renew_at = renewed - back if renewed is not None else None
        return structs.replace(self, held=held, renew_at=renew_at, back_s=back_s)

    def obtained(self, held: Held, *, lead: timedelta, jitter: float, ahead_s: float | None = None) -> "SourceState":
        """Return the track after a successful attempt (the same credentials again are a success)."""
        if isinstance(self.source, GrantSource):
            held = structs.replace(held, expires_at=earliest(held.expires_at, self.source.not_after))
        # What names no end is asked for again now and then: else a changed identity would go unnoticed for ever.
        ends = held.expires_at or held.obtained_at + LIFE_WITHOUT_END
        renew_at = renewal_schedule.renew_at(held.obtained_at, ends, lead, jitter)
        return SourceState(source=self.source, held=held, tried=True, renew_at=renew_at, ahead_s=ahead_s)

    def failed(self, failure: SourceFailure, *, monotonic: float, jitter: float) -> "SourceState":
        """Return the track after a failed attempt: what is held stays, and the next attempt backs off."""
        failures = (self.failure.failures if self.failure and self.retry_at is not None else 0) + 1
        wait = renewal_schedule.retry_wait_s(failures, jitter, permanent=failure.permanent)
        counted = structs.replace(failure, failures=failures)
        return structs.replace(self, tried=True, failure=counted, retry_at=monotonic + wait)

    def _ended(self, now: datetime) -> bool:
        return isinstance(self.source, GrantSource) and now >= self.source.not_after


def begin(source: Source, now: datetime) -> SourceState:
    """Return the track of a new source; what needs no fetching is held, or found expired, at once."""
    track = SourceState(source=source)
    if isinstance(source, MachineSource) or track.fetched:
        return track
    return SourceState(source=source, held=held_from(source, now), tried=True).as_of(now)


def ahead_s(now: datetime, monotonic: float) -> float:
    """Return by how much the wall clock is ahead of the monotonic one."""
    return now.timestamp() - monotonic


def expired(held: Held, now: datetime) -> bool:
    """Tell whether what is held may no longer be handed out."""
    return held.expires_at is not None and now >= held.expires_at


def held_from(source: Source, now: datetime) -> Held:
    """Return what a grant holds that carries its credentials itself. Its life is counted from its sealing on."""
    if isinstance(source, MachineSource):
        raise TypeError("the machine's own identity has to be fetched")
    grant = source.grant
    principal = ""
    credentials: AwsCredentials | GoogleToken | Variables
    own_expiry: datetime | None = None
    match grant:
        case AwsSessionGrant():
            credentials, principal, own_expiry = session_credentials(grant), grant.principal, grant.expires_at
        case GoogleAccessTokenGrant():
            credentials, principal, own_expiry = google_token(grant), grant.email, grant.expires_at
        case EnvironmentGrant():
            credentials = Variables(values=grant.variables)
        case _:
            raise TypeError(f"{type(grant).__name__} has to be fetched")
    return Held(
        credentials=credentials,
        origin=Origin.BUNDLE,
        principal=principal,
        obtained_at=min(source.issued_at, now),
        expires_at=earliest(own_expiry, source.not_after),
    )


def session_credentials(grant: AwsSessionGrant) -> AwsCredentials:
    """Return the credentials of a forwarded session."""
    return AwsCredentials(
        access_key_id=grant.access_key_id,
        secret_access_key=grant.secret_access_key,
        session_token=grant.session_token,
        expires_at=grant.expires_at,
        region=grant.region,
    )


def google_token(grant: GoogleAccessTokenGrant) -> GoogleToken:
    """Return the token of a forwarded Google access token."""
    return GoogleToken(
        access_token=grant.access_token,
        expires_at=grant.expires_at,
        email=grant.email,
        project=grant.project,
        scopes=grant.scopes,
    )


def earliest(one: datetime | None, other: datetime) -> datetime:
    """Return the earlier of two ends, of which one may be open."""
    return other if one is None or other < one else one
