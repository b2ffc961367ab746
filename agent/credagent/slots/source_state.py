"""One source and what came of it so far: frozen values, and what each outcome makes of them. No fetching here."""

from datetime import datetime, timedelta

from msgspec import Struct, structs

from credagent.bundle.contents import AwsSessionGrant, EnvironmentGrant, GoogleAccessTokenGrant, Grant
from credagent.credentials import AwsCredentials, GoogleToken, Held, Origin, Slot, Variables
from credagent.errors import ABSENT_CODES, NO_IDENTITY, CredagentError, Unavailable
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


class SourceFailure(Struct, frozen=True, kw_only=True):
    """Why a source gave nothing: a stable code, a text of ours, since when and how often in a row."""

    code: str
    message: str
    hint: str = ""
    at: datetime
    failures: int = 1
    permanent: bool = False
    retry_after_s: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether this is absence, not failure: no AWS identity on a Google machine, or on a laptop."""
        return self.code in ABSENT_CODES


def failure_from(error: CredagentError, now: datetime) -> SourceFailure:
    """Return what status shows of a failed attempt."""
    known = error if isinstance(error, Unavailable) else None
    return SourceFailure(
        code=error.code,
        message=error.why,
        hint=error.hint,
        at=now,
        permanent=known is not None and not known.retry,
        retry_after_s=(known.retry_after_s or 0.0) if known is not None else 0.0,
    )


class Instant(Struct, frozen=True, kw_only=True):
    """What both clocks show at one moment."""

    wall: datetime
    monotonic: float


class SourceState(Struct, frozen=True, kw_only=True):
    """A source, what is held from it, and its last failure. `retry_at` is on the monotonic clock, in seconds.

    What was fetched has two ends, one on each clock, and is over when either has come. By the wall clock alone it
    would look younger after a clock that was ahead is set right; by the monotonic one alone it would live on through
    a suspension. `obtained` is what both clocks showed when it was obtained, so that one time stands for both ends.
    None: what is in a grant itself names its end by its sender's clock alone.
    """

    source: Source
    held: Held | None = None
    tried: bool = False
    failure: SourceFailure | None = None
    renew_at: datetime | None = None
    retry_at: float | None = None
    obtained: Instant | None = None

    @property
    def fetched(self) -> bool:
        """Whether credentials have to be fetched; a session, a token and variables are in the grant itself."""
        return isinstance(self.source, MachineSource) or not isinstance(
            self.source.grant, AwsSessionGrant | GoogleAccessTokenGrant | EnvironmentGrant
        )

    def attempted(self, now: datetime) -> bool:
        """Tell whether it is fetched at all: not what is in the grant itself, and nothing after the bundle's end."""
        return self.fetched and not self._ended(now)

    def seconds_until(self, moment: datetime, now: datetime, monotonic: float) -> float:
        """Return the seconds until `moment` comes by one of the two clocks: the earlier, negative once it has."""
        by_wall = (self.by_this_clock(moment, now, monotonic) - now).total_seconds()
        if self.obtained is None:
            return by_wall
        after_s = (moment - self.obtained.wall).total_seconds()
        by_monotonic = self.obtained.monotonic + after_s - monotonic
        return min(by_wall, round(by_monotonic, 6))  # in microseconds, as the wall clock counts

    def left_s(self, now: datetime, monotonic: float) -> float | None:
        """Return how long what is held is still valid; infinite without an end, None where nothing is held."""
        if self.held is None:
            return None
        ends = self.held.expires_at
        return float("inf") if ends is None else self.seconds_until(ends, now, monotonic)

    def seconds_until_due(self, now: datetime, monotonic: float) -> float:
        """Return the wait until the next attempt; infinite for what is not `attempted`."""
        if not self.attempted(now):
            return float("inf")
        if self.retry_at is not None:
            return self.retry_at - monotonic
        return 0.0 if self.renew_at is None else self.seconds_until(self.renew_at, now, monotonic)

    def as_of(self, now: datetime, monotonic: float) -> "SourceState":
        """Return the state at `now`: what has expired is no longer held, and a failure says so.

        What was fetched and is lost is due at once, however long the last failure meant to wait. What is in the grant
        itself is held again where a clock that was ahead has been set right.
        """
        left_s = self.left_s(now, monotonic)
        if left_s is None and not self.fetched:
            again = held_from(self.source, now)
            return self if expired(again, now) else SourceState(source=self.source, held=again, tried=True)
        if self.held is None or left_s is None or left_s > 0:
            return self
        if self._ended(now):
            code, message = "not-after", "the bundle's not_after has passed"
        else:
            code, message = "expired", "the credentials expired"
        hint = "" if self.fetched else "only the sender can renew these: deliver a new bundle"
        failure = self.failure or SourceFailure(code=code, message=message, hint=hint, at=self.held.expires_at or now)
        return structs.replace(self, held=None, failure=failure, renew_at=None, retry_at=None)

    def by_this_clock(self, moment: datetime, now: datetime, monotonic: float) -> datetime:
        """Return `moment` as the wall clock will show it where that was set back since: what others have to be told.

        In whole steps, so that a clock that is steered does not change what workers get at each look: until the next
        whole step the monotonic end is the earlier one.
        """
        if self.obtained is None:
            return moment
        passed_s = monotonic - self.obtained.monotonic
        back_s = round(passed_s - (now - self.obtained.wall).total_seconds(), 3)
        return moment - timedelta(seconds=max(back_s // NOTICED_STEP_S, 0.0) * NOTICED_STEP_S)

    def shown(self, now: datetime, monotonic: float) -> Held | None:
        """Return what is held with its times by the present wall clock."""
        if self.held is None or self.obtained is None:
            return self.held
        ends = self.held.expires_at
        return structs.replace(
            self.held,
            obtained_at=self.by_this_clock(self.held.obtained_at, now, monotonic),
            expires_at=ends if ends is None else self.by_this_clock(ends, now, monotonic),
        )

    def succeeded(
        self, held: Held, *, lead: timedelta, jitter: float, obtained: Instant | None = None
    ) -> "SourceState":
        """Return the state after a successful attempt (the same credentials again are a success)."""
        if isinstance(self.source, GrantSource):
            held = structs.replace(held, expires_at=earliest(held.expires_at, self.source.not_after))
        # What names no end is asked for again now and then: else a changed identity would go unnoticed for ever.
        ends = held.expires_at or held.obtained_at + LIFE_WITHOUT_END
        renew_at = renewal_schedule.renew_at(held.obtained_at, ends, lead, jitter)
        return SourceState(source=self.source, held=held, tried=True, renew_at=renew_at, obtained=obtained)

    def failed(self, failure: SourceFailure, *, now: datetime, monotonic: float, jitter: float) -> "SourceState":
        """Return the state after a failed attempt: what is held stays, and the next attempt backs off."""
        failures = (self.failure.failures if self.failure and self.retry_at is not None else 0) + 1
        wait_s = renewal_schedule.retry_wait_s(
            failures,
            jitter,
            left_s=self.left_s(now, monotonic),
            cheap=isinstance(self.source, MachineSource),
            refused=failure.permanent,
            absent=failure.code == NO_IDENTITY,
            retry_after_s=failure.retry_after_s,
        )
        counted = structs.replace(failure, failures=failures)
        return structs.replace(self, tried=True, failure=counted, retry_at=monotonic + wait_s)

    def _ended(self, now: datetime) -> bool:
        return isinstance(self.source, GrantSource) and now >= self.source.not_after


def begin(source: Source, now: datetime) -> SourceState:
    """Return the state of a new source; what needs no fetching is held, or found expired, at once."""
    state = SourceState(source=source)
    if isinstance(source, MachineSource) or state.fetched:
        return state
    held = SourceState(source=source, held=held_from(source, now), tried=True)
    return held.as_of(now, 0.0)  # what was not fetched has no end on the monotonic clock


def expired(held: Held, now: datetime) -> bool:
    """Tell whether what is held may no longer be handed out, by the wall clock."""
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
