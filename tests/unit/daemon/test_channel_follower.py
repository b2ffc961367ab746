"""How pull channels are followed while some of them fail."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from credagent.channels.pull_channel import Arrived, Content
from credagent.daemon import channel_follower
from credagent.daemon.channel_follower import ChannelFollower
from credagent.errors import CredagentError, OutputError, Refused, Unavailable
from credagent.slots.credential_resolver import CredentialResolver


class Channel:
    """Fails as often as it is told to, then tells its content."""

    name, shared, waits = "file", False, False

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def present(self) -> Content:
        return b"content"

    async def follow(self, arrived: Arrived) -> None:
        if self.failures:
            raise self.failures.pop(0)
        arrived(self.present())
        await asyncio.Event().wait()


class Offers:
    """Stands for a custody that answers offers with what it is given, one after the other."""

    def __init__(self, *answers: CredagentError | None) -> None:
        self.answers = list(answers)
        self.offered = 0
        self.looked: list[str] = []
        self.intake = SimpleNamespace(
            keyring=SimpleNamespace(local_only=True), withheld=None, unopened=(), unavailable=(), save_again=tuple
        )

    def offer(self, content: Content, channel: str, *, shared: bool) -> CredagentError | None:
        self.offered += 1
        return self.answers.pop(0) if self.answers else None

    def looked_at(self, channel: str) -> None:
        self.looked.append(channel)

    @property
    def custody(self) -> CredentialResolver:
        return cast("CredentialResolver", self)


async def until(truth: Any) -> None:
    async with asyncio.timeout(10):
        while not truth():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("failure", [OSError(24, "too many"), OutputError("x", "y"), ZeroDivisionError()])
def test_a_channel_that_fails_is_shown_and_followed_again(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr(channel_follower, "AGAIN_S", 0.05)

    async def story() -> None:
        offers = Offers()
        one = ChannelFollower(offers.custody)
        one.follow([Channel(failure)])
        await until(one.standing_errors)
        assert one.standing_errors() == (
            failure.code if isinstance(failure, CredagentError) else type(failure).__name__,
        )
        await until(lambda: offers.offered)
        assert one.standing_errors() == ()
        one.stop()

    asyncio.run(story())


def test_what_could_not_be_kept_is_offered_again_and_what_is_refused_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_follower, "AGAIN_S", 0.01)

    async def story(error: CredagentError) -> tuple[int, tuple[str, ...]]:
        offers = Offers(error)
        one = ChannelFollower(offers.custody)
        again = asyncio.create_task(one.look_again())
        one.follow([Channel()])
        await until(lambda: offers.offered)
        first = one.standing_errors()
        await asyncio.sleep(0.1)
        again.cancel()
        one.stop()
        return offers.offered, first

    assert asyncio.run(story(OutputError("not-written", "full"))) == (2, ("not-written",))
    for code in ("from-the-future", "expired", "too-old"):
        assert asyncio.run(story(Refused(code, "clock"))) == (2, (code,))
    assert asyncio.run(story(Refused("bad-signature", "bent"))) == (1, ())


def test_a_channel_that_cannot_be_read_was_looked_at_and_offers_nothing() -> None:
    class Unreadable(Channel):
        def present(self) -> Content:
            return Unavailable("access-denied", "no", retry=False)

    async def story() -> None:
        offers = Offers()
        one = ChannelFollower(offers.custody)
        one.follow([Unreadable()])
        await until(lambda: offers.looked)
        assert offers.offered == 0
        one.stop()

    asyncio.run(story())
