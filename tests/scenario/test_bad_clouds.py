"""What workers get while a cloud answers badly: real SDKs, asked in this process, against the simulated cloud.

That each answer has its code is told in the integration tests of the jobs; here is what it does to a slot.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct

from credagent.cloud_helper import job_dispatch
from credagent.cloud_helper.environment import helper_environment
from credagent.cloud_helper.helper_protocol import HelperJob
from credagent.cloud_helper.job_requests import RequestFor
from credagent.cloud_helper.job_responses import Failed
from credagent.credentials import Empty, Held, Slot
from credagent.errors import Unavailable
from credagent.slots.precedence import Fallback
from credagent.slots.source_fetcher import SourceFetcher
from tests.scenario.harness import World, role, said
from tests.simulator import Simulator

AWS_METADATA: dict[str, tuple[str, dict[str, Any], str]] = {
    "401": ("credentials", {"status": 401}, "metadata-refused"),
    "403": ("credentials", {"status": 403}, "metadata-disabled"),
    "404": ("credentials", {"status": 404}, "no-role"),
    "429": ("credentials", {"status": 429}, "throttled"),
    "500": ("credentials", {"status": 500}, "service-error"),
    "garbage": ("credentials", {"garbage": True}, "metadata-malformed"),
    "half a document": ("credentials", {"truncate": True}, "metadata-malformed"),
    "nothing at all": ("credentials", {"drop": True}, "metadata-malformed"),
    "another Code than Success": ("credentials", {"patch": {"Code": "Failed"}}, "role-unusable"),
    "an expiry in the past": ("credentials", {"patch": {"Expiration": "2020-01-01T00:00:00Z"}}, "expiry-past"),
    "an expiry in a strange format": ("credentials", {"patch": {"Expiration": "tomorrow"}}, "expiry-malformed"),
}
GOOGLE_METADATA: dict[str, tuple[str, dict[str, Any], str]] = {
    "401": ("token", {"status": 401}, "metadata-refused"),
    "403": ("token", {"status": 403}, "metadata-disabled"),
    "404": ("token", {"status": 404}, "no-service-account"),
    "429": ("token", {"status": 429}, "throttled"),
    "500": ("token", {"status": 500}, "service-error"),
    "garbage": ("token", {"garbage": True}, "metadata-malformed"),
    "half a document": ("token", {"truncate": True}, "metadata-malformed"),
    "nothing at all": ("token", {"drop": True}, "metadata-unreachable"),
    "an expiry in the past": ("token", {"patch": {"expires_in": -5}}, "expiry-past"),
    "an expiry in a strange format": ("token", {"patch": {"expires_in": "soon"}}, "metadata-malformed"),
}


class Bad(Struct, frozen=True):
    """An answer of a metadata service, and the code of the failure that it is."""

    slot: Slot
    service: str
    operation: str
    fault: dict[str, Any]
    code: str


BAD = [
    pytest.param(Bad(slot, service, *fault), id=f"{service}: {name}")
    for slot, service, faults in ((Slot.AWS, "imds", AWS_METADATA), (Slot.GOOGLE, "google-metadata", GOOGLE_METADATA))
    for name, fault in faults.items()
]
STS = {
    "throttles": ({"status": 400, "code": "Throttling"}, "throttled"),
    "denies": ({"status": 403, "code": "AccessDenied"}, "access-denied"),
    "fails": ({"status": 503, "code": "ServiceUnavailable"}, "service-error"),
    "answers garbage": ({"garbage": True}, "malformed-answer"),
    "says nothing": ({"drop": True}, "unreachable"),
}


@pytest.fixture
def cloud() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def machine(cloud: Simulator, worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Return a maker of machines on that cloud."""
    environ = helper_environment({**os.environ, **cloud.environ()}, local=False)
    for name in os.environ.keys() - environ.keys():
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("credagent.cloud_helper.helper_call.call", in_this_process)
    _read_anew(monkeypatch)

    def make(**how: Any) -> World:
        start = datetime.now(UTC)  # SDKs sign by the machine's clock, and no test can set that

        def fetch(world: World) -> SourceFetcher:
            return SourceFetcher(lambda: world.bounds, world.clock)

        return worlds(start=start, fetch=fetch, **how)

    return make


def _read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give google-auth what it reads once, when it is imported: a helper process is new for each question."""
    from google.auth.compute_engine import _metadata

    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", os.environ["GCE_METADATA_HOST"])
    monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", False)


async def in_this_process(request: RequestFor[Any]) -> Any:
    """Answer as the helper process does, without its start."""
    reply = job_dispatch.run(HelperJob(request=request, lives_s=0))  # type: ignore[arg-type]  # all of them are
    if isinstance(reply, Failed):
        raise Unavailable(reply.code, reply.why, what=reply.what, hint=reply.hint, retry=reply.retry)
    return reply


@pytest.mark.parametrize("bad", BAD)
def test_bad_metadata_leaves_what_is_held_as_it_is(cloud: Simulator, machine: Callable[..., World], bad: Bad) -> None:
    world = machine(google_off=bad.slot is Slot.AWS)
    before, key = world.generation, world.key(bad.slot)
    assert key
    cloud.fault(bad.service, bad.operation, **bad.fault)
    assert world.renew(bad.slot) == f"failed: {bad.code}"
    assert (world.generation, world.key(bad.slot)) == (before, key)
    assert world.failure_code(bad.slot) == bad.code
    assert world.failure_hint(bad.slot)


@pytest.mark.parametrize("bad", BAD)
def test_bad_metadata_at_the_start_hands_out_nothing_and_closes_nothing(
    cloud: Simulator, machine: Callable[..., World], bad: Bad
) -> None:
    """A library that looks for itself finds what is there: the machine's identity is nobody's secret here."""
    cloud.fault(bad.service, bad.operation, **bad.fault)
    world = machine(google_off=bad.slot is Slot.AWS)
    assert world.content(bad.slot) == Empty(may_fall_back=True)
    assert world.resolver.settled
    assert world.failure_code(bad.slot) == bad.code
    cloud.clear_faults()
    assert world.renew(bad.slot) == "renewed"
    assert world.key(bad.slot)


def test_what_an_administrator_took_away_leaves_what_is_held_and_each_reason_has_its_own_hint(
    cloud: Simulator, machine: Callable[..., World]
) -> None:
    world = machine(google_off=True)
    held, hints = world.key(), set()
    for mode, code in (("hop-limit", "hop-limit"), ("disabled", "metadata-disabled"), ("no-role", "no-role")):
        cloud.instance(mode=mode)
        assert world.renew() == f"failed: {code}"
        assert (world.key(), world.failure_code()) == (held, code)
        hints.add(world.failure_hint())
    assert len(hints - {""}) == 3


@pytest.mark.parametrize("slot", [Slot.AWS, Slot.GOOGLE])
def test_an_expiry_in_the_far_future_is_handed_out_shortened(
    cloud: Simulator, machine: Callable[..., World], slot: Slot
) -> None:
    """Else nothing would ever be renewed."""
    cloud.fault("imds", "credentials", patch={"Expiration": "2099-01-01T00:00:00Z"})
    cloud.fault("google-metadata", "token", patch={"expires_in": 10**8})
    content = machine().content(slot)
    assert isinstance(content, Held)
    assert content.expires_at is not None
    assert content.expires_at - datetime.now(UTC) < timedelta(hours=37)


@pytest.mark.parametrize(("fault", "code"), STS.values(), ids=STS)
@pytest.mark.parametrize("fallback", [Fallback.ABSENT, Fallback.EXPIRED])
def test_a_role_that_sts_does_not_give_is_not_replaced_by_the_machines_identity_unless_so_configured(
    cloud: Simulator, machine: Callable[..., World], fault: dict[str, Any], code: str, fallback: Fallback
) -> None:
    cloud.create_role("reader")
    cloud.fault("sts", "AssumeRole", **fault)
    world = machine(fallback=fallback, google_off=True)
    world.put(world.bundle(aws=role(region="eu-central-1")))
    assert world.failure_code() == code
    assert world.failure_hint()
    assert world.origin() == ("aws-metadata" if fallback is Fallback.EXPIRED else "none")
    cloud.clear_faults()
    assert world.renew() == "renewed"
    assert world.origin() == "assumed-role"


@pytest.mark.parametrize(("fault", "code"), STS.values(), ids=STS)
def test_a_role_that_sts_no_longer_gives_is_held_as_long_as_it_lasts(
    cloud: Simulator, machine: Callable[..., World], fault: dict[str, Any], code: str
) -> None:
    cloud.create_role("reader")
    world = machine(google_off=True)
    world.put(world.bundle(aws=role(region="eu-central-1")))
    before = (world.generation, world.key())
    cloud.fault("sts", "AssumeRole", **fault)
    assert world.renew() == f"failed: {code}"
    assert (world.generation, world.key()) == before


def test_a_shorter_session_than_asked_for_ends_when_sts_says(cloud: Simulator, machine: Callable[..., World]) -> None:
    cloud.create_role("reader")
    cloud.expire_after("sts", 900)
    world = machine()
    world.put(world.bundle(aws=role(region="eu-central-1", duration_s=3600)))
    content = world.content()
    assert isinstance(content, Held)
    assert content.expires_at is not None
    assert content.expires_at - datetime.now(UTC) < timedelta(seconds=901)


def test_a_clock_an_hour_behind_ends_credentials_when_they_end_and_not_an_hour_later(
    cloud: Simulator, machine: Callable[..., World]
) -> None:
    """By the machine's own clock, which workers use too: the hour is taken off, and said."""
    cloud.expire_after("imds", 2 * 3600)
    cloud.skew(3600)
    content = machine().content()
    assert isinstance(content, Held)
    assert content.expires_at is not None
    left = content.expires_at - datetime.now(UTC)
    assert timedelta(hours=1.9) < left < timedelta(hours=2.1)
    [told] = said("clock_is_wrong")[:1]
    assert told["service_clock_ahead_s"] == pytest.approx(3600, abs=5)


def test_a_clock_an_hour_ahead_is_blamed_for_credentials_that_look_expired(
    cloud: Simulator, machine: Callable[..., World]
) -> None:
    cloud.expire_after("imds", 600)
    cloud.skew(-3600)
    world = machine()
    assert world.content() == Empty(may_fall_back=True)
    assert world.failure_code() == "clock-skew"
    assert "clock" in world.failure_hint()


def test_a_clock_that_is_wrong_leaves_a_google_token_its_whole_life(
    cloud: Simulator, machine: Callable[..., World]
) -> None:
    """Google says how long, and not until when."""
    cloud.skew(3600)
    content = machine().content(Slot.GOOGLE)
    assert isinstance(content, Held)
    assert content.expires_at is not None
    assert timedelta(minutes=59) < content.expires_at - datetime.now(UTC) < timedelta(minutes=61)
