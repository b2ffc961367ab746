"""One slot, step by step: values in, values out; no clock, no task, no cloud."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from credagent.bundle.contents import AwsAssumeRoleGrant, AwsSessionGrant
from credagent.credentials import AwsCredentials, Empty, Held, Origin, Slot, Statement
from credagent.secret import Secret
from credagent.slots import renewal_schedule
from credagent.slots.desired_slot import DesiredSlot
from credagent.slots.precedence import Fallback, Use
from credagent.slots.slot_state import SlotEvent, SlotState, after_attempt, step
from credagent.slots.source_state import GrantSource, MachineSource, Source, SourceFailure

NOW, HOUR = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)
NOBODY_SENT_ANYTHING = DesiredSlot(bundle_in_force=False)
CLOSED = Empty(may_fall_back=False)
MACHINE = MachineSource(slot=Slot.AWS)


def granted(grant: AwsAssumeRoleGrant | AwsSessionGrant, **how: object) -> DesiredSlot:
    source = GrantSource(grant=grant, not_after=NOW + 30 * 24 * HOUR, issued_at=NOW)
    return structs.replace(DesiredSlot(statement=Statement.GRANTED, grant=source), **how)


def session(lasts: timedelta = HOUR) -> AwsSessionGrant:
    return AwsSessionGrant(
        access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=NOW + lasts
    )


ROLE = AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/reader")


def held(key: str = "ASIAROLE", lasts: timedelta = HOUR, at: datetime = NOW) -> Held:
    credentials = AwsCredentials(access_key_id=key, secret_access_key=Secret("s"), expires_at=at + lasts)
    return Held(credentials=credentials, origin=Origin.ASSUMED_ROLE, obtained_at=at, expires_at=at + lasts)


class Story:
    """A state and the events of its steps. Both clocks go alike unless a test steps the wall clock."""

    def __init__(self, slot: Slot = Slot.AWS) -> None:
        self.state = SlotState(slot=slot, lead=renewal_schedule.AWS_LEAD)
        self.now, self.monotonic = NOW, 100.0
        self.events: list[SlotEvent] = []

    def desire(self, desired: DesiredSlot) -> None:
        self.state, events = step(self.state, desired, self.now, self.monotonic)
        self.events += events

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds
        self.desire(self.state.desired)

    def came(self, source: Source, what: Held | str) -> str:
        failure = SourceFailure(code=str(what), message="said why", at=self.now, permanent=True)
        came = what if isinstance(what, Held) else failure
        self.state, outcome, events = after_attempt(
            self.state, source, came, now=self.now, monotonic=self.monotonic, jitter=0
        )
        self.events += events
        self.desire(self.state.desired)
        return outcome

    def due(self) -> tuple[Source | None, float]:
        source, wait_s = self.state.due(self.now, self.monotonic)
        return (None if source is None else source.source), wait_s

    def holds(self) -> bool:
        return isinstance(self.state.content, Held)

    def said(self) -> list[str]:
        return [event.name for event in self.events]


def grant_of(desired: DesiredSlot) -> GrantSource:
    assert desired.grant is not None
    return desired.grant


def test_a_slot_nobody_sent_anything_for_tries_the_machines_identity_and_hands_it_out() -> None:
    story = Story()
    story.desire(NOBODY_SENT_ANYTHING)
    assert (story.state.tried, story.due()) == (False, (MACHINE, 0.0))
    assert story.came(MACHINE, held()) == "renewed"
    assert (story.state.tried, story.state.content, story.state.content_source) == (True, held(), MACHINE)
    assert story.due() == (MACHINE, 1800.0)
    story.pass_s(1800)
    assert story.came(MACHINE, held(at=story.now)) == "renewed"


def test_the_same_state_and_the_same_clocks_make_the_same_step() -> None:
    story = Story()
    story.desire(granted(session()))
    again, events = step(story.state, story.state.desired, story.now, story.monotonic)
    assert (again, events) == (story.state, ())


def test_a_session_is_handed_out_at_once_and_ends_when_it_ends() -> None:
    story = Story()
    story.desire(granted(session()))
    assert story.holds()
    assert story.due()[1] == float("inf")
    story.pass_s(3599)
    assert story.state.left_s(story.now, story.monotonic) == 1.0
    story.pass_s(1)
    assert story.state.content == CLOSED
    assert story.said() == ["session_not_renewed", "credentials_lost"]


@pytest.mark.parametrize(("step_s", "left_s"), [(0.0, 1800.0), (-7200.0, 1800.0), (900.0, 900.0), (1800.0, 0.0)])
def test_what_was_fetched_ends_by_the_clock_whose_end_comes_first(step_s: float, left_s: float) -> None:
    """A clock that is set back gives no life; one that goes ahead, or a machine that slept, takes some."""
    story = Story()
    story.desire(NOBODY_SENT_ANYTHING)
    story.came(MACHINE, held())
    story.pass_s(1800)
    story.now += timedelta(seconds=step_s)
    assert story.state.left_s(story.now, story.monotonic) == left_s
    story.desire(story.state.desired)
    assert isinstance(story.state.content, Held) is (left_s > 0)


def test_a_clock_that_is_set_back_is_told_to_workers_in_the_end_they_see() -> None:
    story = Story()
    story.desire(NOBODY_SENT_ANYTHING)
    story.came(MACHINE, held())
    story.now -= timedelta(hours=24)
    story.pass_s(60)
    assert isinstance(story.state.content, Held)
    assert story.state.content.expires_at == story.now + timedelta(minutes=59)
    assert story.state.renew_at(story.now, story.monotonic) == story.now + timedelta(minutes=29)


def test_a_lost_grant_is_closed_loudly_once_and_tried_on() -> None:
    story, desired = Story(), granted(ROLE)
    story.desire(desired)
    assert story.came(grant_of(desired), "access-denied") == "failed: access-denied"
    assert story.state.content == CLOSED
    assert story.said() == ["renewal_failed", "credentials_lost"]
    for wait_s in (1.0, 2.0, 4.0):
        assert story.due() == (grant_of(desired), wait_s)
        story.pass_s(wait_s)
        story.came(grant_of(desired), "access-denied")
    assert story.said().count("credentials_lost") == 1
    assert story.came(grant_of(desired), held(at=story.now)) == "renewed"
    assert story.state.failure is None


def test_behind_the_machines_identity_a_lost_grant_is_tried_on() -> None:
    story, desired = Story(), granted(ROLE, fallback=Fallback.EXPIRED)
    story.desire(desired)
    story.came(grant_of(desired), "access-denied")
    assert (story.state.decision.use, story.due()[0]) == (Use.MACHINE, MACHINE)
    story.came(MACHINE, held("ASIAMACHINE"))
    assert isinstance(story.state.content, Held)
    assert story.due() == (grant_of(desired), 1.0)
    assert story.state.renewable(story.now) == story.state.grant  # what a person asks for is the grant


def test_an_attempt_that_another_order_overtook_changes_nothing() -> None:
    story, desired = Story(), granted(ROLE)
    story.desire(desired)
    story.desire(DesiredSlot(statement=Statement.WITHDRAWN))
    before = story.state
    assert story.came(grant_of(desired), held()) == "renewed"
    assert story.state == before
    assert story.state.content == Empty(may_fall_back=False, withdrawn=True)


def test_a_target_that_is_no_longer_listed_is_taken_back_and_not_taken_from_a_late_answer() -> None:
    story, desired = Story(), granted(ROLE)
    story.desire(desired)
    story.came(grant_of(desired), held())
    story.desire(structs.replace(desired, forbidden=True))
    assert story.state.content == Empty(may_fall_back=False, withdrawn=True)
    story.came(grant_of(desired), held())
    assert not isinstance(story.state.content, Held)


def test_a_slot_without_handover_is_tried_and_attempts_nothing() -> None:
    story = Story()
    story.desire(structs.replace(NOBODY_SENT_ANYTHING, handed_over=False))
    assert (story.state.tried, story.due()[0], story.state.content) == (True, None, Empty())
