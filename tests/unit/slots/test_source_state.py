"""What each outcome makes of a source: frozen values in, frozen values out."""

from datetime import UTC, datetime, timedelta

import pytest

from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.credentials import AwsCredentials, Held, Origin, Slot
from credagent.secret import Secret
from credagent.slots import renewal_schedule
from credagent.slots.source_state import (
    GrantSource,
    MachineSource,
    SourceFailure,
    SourceState,
    begin,
    earliest,
    held_from,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
FAILURE = SourceFailure(code="throttled", message="slower", at=NOW)
SESSION = AwsSessionGrant(
    access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=NOW + HOUR
)
ROLE = AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/reader")


def source(grant: Grant, *, lasts: timedelta = 10 * HOUR, issued_ago: timedelta = SECOND) -> GrantSource:
    return GrantSource(grant=grant, not_after=NOW + lasts, issued_at=NOW - issued_ago)


def held(expires_in: timedelta | None) -> Held:
    ends = None if expires_in is None else NOW + expires_in
    credentials = AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("s"), expires_at=ends)
    return Held(credentials=credentials, origin=Origin.ASSUMED_ROLE, obtained_at=NOW, expires_at=ends)


@pytest.mark.parametrize(
    ("grant", "fetched"),
    [
        (SESSION, False),
        (GoogleAccessTokenGrant(access_token=Secret("t"), expires_at=NOW + HOUR), False),
        (EnvironmentGrant(variables={"A": Secret("1")}), False),
        (ROLE, True),
        (GoogleImpersonationGrant(target="a@b"), True),
        (
            GoogleAuthorizedUserGrant(client_id="c", client_secret=Secret("s"), refresh_token=Secret("r")),
            True,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_in_the_grant_is_held_at_once_and_the_rest_is_due_at_once(
    grant: Grant,
    fetched: bool,  # noqa: FBT001  parametrised
) -> None:
    track = begin(source(grant), NOW)
    assert (track.fetched, track.tried, track.held is None) == (fetched, not fetched, fetched)
    assert track.seconds_until_due(NOW, 0.0) == (0.0 if fetched else float("inf"))
    if not fetched:
        assert track.held is not None
        assert track.held.origin is Origin.BUNDLE


def test_a_session_is_as_old_as_its_bundle_and_never_from_the_future() -> None:
    assert held_from(source(SESSION, issued_ago=HOUR), NOW).obtained_at == NOW - HOUR
    assert held_from(source(SESSION, issued_ago=-HOUR), NOW).obtained_at == NOW


def test_the_bundles_end_bounds_what_has_an_end_of_its_own_or_none() -> None:
    assert held_from(source(SESSION, lasts=HOUR / 2), NOW).expires_at == NOW + HOUR / 2
    assert held_from(source(SESSION), NOW).expires_at == NOW + HOUR
    assert held_from(source(EnvironmentGrant(variables={})), NOW).expires_at == NOW + 10 * HOUR
    assert earliest(None, NOW) == NOW


def test_what_has_to_be_fetched_is_in_no_grant() -> None:
    for one in (source(ROLE), MachineSource(slot=Slot.AWS)):
        with pytest.raises(TypeError):
            held_from(one, NOW)


def test_expired_is_not_held_from_that_moment_on_and_a_failure_says_so() -> None:
    track = begin(source(SESSION), NOW)
    assert track.as_of(NOW + HOUR - SECOND, 0.0) == track
    lost = track.as_of(NOW + HOUR, 0.0)
    assert lost.held is None
    assert lost.failure is not None
    assert (lost.failure.code, lost.failure.at) == ("expired", NOW + HOUR)
    assert "sender" in lost.failure.hint
    assert lost.as_of(NOW + 2 * HOUR, 0.0) == lost
    assert lost.as_of(NOW, 0.0).held == track.held  # the clock was ahead


def test_the_end_of_the_bundle_is_told_from_the_end_of_the_credentials() -> None:
    lost = begin(source(SESSION, lasts=HOUR / 2), NOW).as_of(NOW + HOUR / 2, 0.0)
    assert lost.failure is not None
    assert lost.failure.code == "not-after"


def test_a_failure_keeps_what_is_held_and_backs_off() -> None:
    track = SourceState(source=source(ROLE)).succeeded(held(HOUR), lead=renewal_schedule.AWS_LEAD, jitter=0)
    for failures, wait_s in ((1, 1), (2, 2), (3, 4)):
        track = track.failed(FAILURE, now=NOW, monotonic=100.0, jitter=0)
        assert track.held == held(HOUR)
        assert track.failure is not None
        assert track.failure.failures == failures
        assert track.seconds_until_due(NOW, 100.0) == wait_s


def test_a_success_forgets_the_failures() -> None:
    failed = SourceState(source=source(ROLE)).failed(FAILURE, now=NOW, monotonic=0, jitter=0)
    track = failed.succeeded(held(HOUR), lead=renewal_schedule.AWS_LEAD, jitter=0)
    assert (track.failure, track.retry_at, track.renew_at) == (None, None, NOW + HOUR / 2)
    again = track.failed(FAILURE, now=NOW, monotonic=0, jitter=0)
    assert again.failure is not None
    assert again.failure.failures == 1


def test_an_expiry_is_not_counted_as_an_attempt() -> None:
    lost = (
        SourceState(source=source(ROLE))
        .succeeded(held(HOUR), lead=renewal_schedule.AWS_LEAD, jitter=0)
        .as_of(NOW + HOUR, 0.0)
    )
    failed = lost.failed(FAILURE, now=NOW, monotonic=0, jitter=0)
    assert failed.failure is not None
    assert failed.failure.failures == 1


def test_nothing_is_fetched_after_the_bundles_end() -> None:
    track = SourceState(source=source(ROLE, lasts=HOUR)).succeeded(
        held(12 * HOUR), lead=renewal_schedule.AWS_LEAD, jitter=0
    )
    assert track.held is not None
    assert track.held.expires_at == NOW + HOUR
    assert track.attempted(NOW + HOUR - SECOND)
    assert not track.attempted(NOW + HOUR)
    assert track.seconds_until_due(NOW + HOUR, 0) == float("inf")


def test_what_has_no_end_is_asked_for_again_now_and_then_and_not_at_once() -> None:
    track = SourceState(source=MachineSource(slot=Slot.AWS)).succeeded(
        held(None), lead=renewal_schedule.AWS_LEAD, jitter=0
    )
    assert track.seconds_until_due(NOW, 0) == 6 * 3600
    assert track.as_of(NOW + 1000 * HOUR, 0.0) == track


@pytest.mark.parametrize("code", ["no-identity", "no-role", "no-service-account"])
def test_absence_is_quiet(code: str) -> None:
    assert SourceFailure(code=code, message="", at=NOW).quiet
    assert not FAILURE.quiet
