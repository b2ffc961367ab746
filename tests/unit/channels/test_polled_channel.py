"""What an agent makes of what a cloud answers, look after look; and how long it leaves the cloud alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from credagent.channels.polled_channel import PolledChannel
from credagent.channels.polling_schedule import (
    JITTER,
    LAST_RETRY_S,
    NO_ROLE_S,
    OTHER_CLOUD_S,
    PACES,
    PollingSchedule,
    delay_s,
    retry_s,
)
from credagent.channels.pull_channel import Content
from credagent.cloud_helper import job_requests, job_responses
from credagent.config.channel_grammar import parse_channel
from credagent.errors import Refused, Unavailable

BUNDLE, NEWER = b"credagent-bundle:one", b"credagent-bundle:two"


class Cloud:
    """Answers what a test planned, and remembers what it was asked."""

    def __init__(self, *planned: job_responses.Content | Unavailable) -> None:
        self.planned = list(planned)
        self.asked: list[job_requests.ChannelGet] = []

    async def ask(self, request: job_requests.ChannelGet, deadline_s: float) -> job_responses.Content:
        self.asked.append(request)
        answer = self.planned.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer


def holds(data: bytes | None, version: str = "") -> job_responses.Content:
    return job_responses.Content(data=data, version=version)


def fails(code: str, *, retry: bool = True) -> Unavailable:
    return Unavailable(code, "said why", retry=retry)


UNCHANGED = job_responses.Content(unchanged=True)


def looks(address: str, *planned: job_responses.Content | Unavailable) -> tuple[list[Content], list[float], Any, Cloud]:
    """Return what was told, the waits between the looks, the channel and the cloud."""
    cloud, told = Cloud(*planned), list[Content]()
    channel = PolledChannel(parse_channel(address), {}, name="it", ask=cloud.ask)  # type: ignore[arg-type]  # an address of a polled channel

    async def look() -> list[float]:
        return [await channel.look(told.append, first=number == 0) for number in range(len(planned))]

    return told, asyncio.run(look()), channel, cloud


def codes(told: Sequence[Content]) -> list[str]:
    return [one.code for one in told if isinstance(one, Refused)]


def test_a_content_is_told_once_and_then_asked_for_by_its_version() -> None:
    told, _, _, cloud = looks("s3://bucket/key", holds(BUNDLE, "e1"), UNCHANGED, holds(NEWER, "e2"), UNCHANGED)
    assert told == [BUNDLE, NEWER]
    assert [request.version for request in cloud.asked] == ["", "e1", "e1", "e2"]


def test_the_same_content_under_another_version_is_not_told_again() -> None:
    told, *_ = looks("s3://bucket/key", holds(BUNDLE, "e1"), holds(BUNDLE, "e2"))
    assert told == [BUNDLE]


def test_nothing_there_is_told_once_so_that_the_first_look_is_known_to_be_over() -> None:
    told, *_ = looks("s3://bucket/key", holds(None), holds(None), holds(BUNDLE), holds(None))
    assert told == [None, BUNDLE, None]


def test_what_could_not_be_read_at_first_is_told_when_it_can_be_also_where_nothing_is_there() -> None:
    told, *_ = looks("s3://bucket/key", fails("unreachable"), fails("unreachable"), holds(None), holds(None))
    assert [one if one is None else type(one) for one in told] == [Unavailable, None]


@pytest.mark.parametrize("code", ["no-identity", "no-role", "no-service-account"])
def test_another_cloud_is_absence_and_no_trouble(code: str) -> None:
    told, waits, channel, _ = looks("ec2-user-data", *(fails(code) for _ in range(8)))
    assert [type(one) for one in told] == [Unavailable]  # looked at; nobody knows what it holds
    assert channel.trouble == ""
    assert 4 <= waits[0] <= 6  # a first boot is early
    assert waits[-1] == pytest.approx(OTHER_CLOUD_S if code == "no-identity" else NO_ROLE_S, rel=JITTER)


def test_a_failure_is_shown_and_says_nothing_about_the_content() -> None:
    told, _, channel, _ = looks("s3://bucket/key", holds(BUNDLE, "e1"), fails("unreachable"), fails("unreachable"))
    assert told == [BUNDLE]
    assert channel.trouble == "unreachable"


def test_a_channel_that_works_again_is_not_in_trouble_and_its_content_is_the_same() -> None:
    told, _, channel, _ = looks("s3://bucket/key", holds(BUNDLE, "e1"), fails("throttled"), UNCHANGED)
    assert told == [BUNDLE]
    assert channel.trouble == ""


@pytest.mark.parametrize(("code", "refused"), [("channel-too-large", "too-large"), ("channel-ambiguous", "malformed")])
def test_what_is_no_bundle_is_refused_once_until_it_is_one(code: str, refused: str) -> None:
    told, _, channel, _ = looks("ec2-user-data", fails(code), fails(code), holds(BUNDLE))
    assert codes(told) == [refused]
    assert told[-1] == BUNDLE
    assert channel.trouble == ""


@pytest.mark.parametrize("retry", [True, False])
def test_failures_are_asked_about_less_and_less_whatever_they_are_called(retry: bool) -> None:  # noqa: FBT001  drawn
    _, waits, *_ = looks("s3://bucket/key", *(fails("access-denied", retry=retry) for _ in range(12)))
    assert 4 <= waits[0] <= 6
    assert waits[-1] >= LAST_RETRY_S * 0.8


def test_a_service_that_asks_to_be_left_alone_is_left_alone() -> None:
    assert 120 <= retry_s(1, 0.5, code="throttled", retry_after_s=120) <= 150
    assert retry_s(1, 0.0, code="throttled", retry_after_s=86_400) == LAST_RETRY_S


def test_an_attribute_is_waited_for_as_soon_as_its_version_is_known() -> None:
    _, waits, _, cloud = looks("gce-attribute:bundle", holds(None, "v1"), holds(BUNDLE, "v2"))
    assert [request.wait_s for request in cloud.asked] == [0, PACES["gce-attribute"].wait_s]
    assert waits[0] <= 2


def test_a_metadata_server_that_does_not_wait_is_not_asked_in_a_circle() -> None:
    waits = PACES["gce-attribute"]
    assert delay_s(waits, 0.5, waited_s=0.01, unchanged=True) >= 48
    assert delay_s(waits, 0.5, waited_s=0.01, unchanged=False) >= 1.9
    assert delay_s(waits, 0.5, waited_s=120, unchanged=True) == 0


@pytest.mark.parametrize("kind", sorted(PACES))
def test_an_idle_channel_wakes_the_agent_less_than_once_in_two_seconds(kind: str) -> None:
    pace = PACES[kind]
    shortest = min(delay_s(pace, chance, waited_s=0.0, unchanged=True) for chance in (0.0, 1.0))
    assert max(shortest, pace.wait_s) >= 48


def test_the_jitter_is_a_fifth_either_way() -> None:
    pace = PollingSchedule(every_s=100)
    assert delay_s(pace, 0.0, waited_s=0, unchanged=True) == pytest.approx(80)
    assert delay_s(pace, 1.0, waited_s=0, unchanged=True) == pytest.approx(120)
    assert retry_s(10_000, 0.5) == pytest.approx(LAST_RETRY_S)
