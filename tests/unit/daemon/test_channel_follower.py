"""How pull channels are followed while some of them fail."""

import asyncio

import pytest

from credagent.channels.pull_channel import Arrived, Content
from credagent.credentials import Empty
from credagent.errors import CredagentError, OutputError, Unavailable
from credagent.tick import TICK_S
from tests.scenario.conftest import service, world, worlds
from tests.scenario.harness import HOUR, World
from tests.scenario.key_service import Worlds

__all__ = ["service", "world", "worlds"]


class Channel:
    """Fails as often as it is told to, then tells its content."""

    name, shared, waits = "file", False, False

    def __init__(self, content: str | Content, *failures: Exception) -> None:
        self.content = content.encode() if isinstance(content, str) else content
        self.failures = list(failures)

    def present(self) -> Content:
        return self.content

    async def follow(self, arrived: Arrived) -> None:
        if self.failures:
            raise self.failures.pop(0)
        arrived(self.present())
        await asyncio.Event().wait()


@pytest.mark.parametrize("failure", [OSError(24, "too many"), OutputError("x", "y"), ZeroDivisionError()])
def test_a_channel_that_fails_is_shown_and_followed_again(world: World, failure: Exception) -> None:
    follower = world.follow(Channel(world.bundle(aws=world.session()), failure))
    code = failure.code if isinstance(failure, CredagentError) else type(failure).__name__
    assert follower.standing_errors() == (code,)
    world.advance(TICK_S)
    assert (follower.standing_errors(), world.key()) == ((), "ASIAALICE")


def test_what_could_not_be_saved_is_offered_again(world: World) -> None:
    world.disk.full = True
    follower = world.follow(Channel(world.bundle(aws=world.session())))
    assert follower.standing_errors() == ("cannot-write",)
    world.advance(TICK_S)
    assert follower.standing_errors() == ("cannot-write",)
    world.disk.full = False
    world.advance(TICK_S)
    assert (follower.standing_errors(), world.key()) == ((), "ASIAALICE")


@pytest.mark.parametrize(
    ("ago_s", "step_s", "code"),
    [(-HOUR, HOUR, "from-the-future"), (25 * HOUR, -2 * HOUR, "too-old"), (31 * 24 * HOUR, -31 * 24 * HOUR, "expired")],
)
def test_what_was_refused_for_the_clock_is_offered_again(world: World, ago_s: float, step_s: float, code: str) -> None:
    lasts_s = 40 * 24 * HOUR
    text = world.bundle(aws=world.session(lasts_s=lasts_s), issued_ago_s=ago_s, lasts_s=30 * 24 * HOUR)
    follower = world.follow(Channel(text))
    assert follower.standing_errors() == (code,)
    world.step_clock(step_s)
    world.advance(TICK_S)
    assert (follower.standing_errors(), world.key()) == ((), "ASIAALICE")


def test_what_is_refused_for_good_is_not_offered_again(world: World) -> None:
    follower = world.follow(Channel("this is no bundle"))
    assert (follower.standing_errors(), set(world.resolver.refusals.present)) == ((), {"file"})


def test_a_channel_that_cannot_be_read_was_looked_at_and_offers_nothing(worlds: Worlds) -> None:
    world = worlds(started=False)
    world.unlooked = ("file",)
    world.start()
    assert world.content() == Empty(may_fall_back=False)
    world.follow(Channel(Unavailable("access-denied", "no", retry=False)))
    assert world.origin() == "aws-metadata"
    assert not world.resolver.refusals.recent
