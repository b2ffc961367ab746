"""Follows the pull channels of a running agent, and admits what they and the socket bring. Judging is custody's."""

import asyncio

from credagent import log
from credagent.admission.rules import Standing
from credagent.channels.pull_channel import Content, PullChannel
from credagent.channels.remote import RemoteChannel
from credagent.errors import CredagentError, Refused, Unavailable
from credagent.slots.credential_resolver import CredentialResolver

AGAIN_S = 30.0  # between two looks at what was refused for a reason that passes by itself
PASSING_REFUSALS = frozenset({"from-the-future", "expired", "too-old"})  # the clock may be set right


class ChannelFollower:
    """The channels being followed, and what of theirs will be looked at again."""

    def __init__(self, custody: CredentialResolver) -> None:
        """Bring bundles to `custody`."""
        self._custody = custody
        self._again: dict[PullChannel, tuple[Content, str]] = {}
        self._failed: dict[PullChannel, str] = {}
        self._channels: list[PullChannel] = []
        self._followers: list[asyncio.Task[None]] = []
        self._admitting: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def follow(self, channels: list[PullChannel]) -> None:
        """Follow these channels instead of the present ones."""
        self.stop()
        self._again, self._failed = {}, {}
        self._channels = channels
        self._followers = [asyncio.create_task(self._follow_one(channel)) for channel in channels]
        if self._custody.intake.unopened:
            self._followers.append(asyncio.create_task(self.reopen()))

    def stop(self) -> None:
        """Follow nothing."""
        for task in (*self._followers, *self._admitting):
            task.cancel()

    def standing_errors(self) -> tuple[str, ...]:
        """Return the codes of what could not be read, or not be admitted for a passing reason."""
        troubles = (one.trouble for one in self._channels if isinstance(one, RemoteChannel) and one.trouble)
        return (*troubles, *self._failed.values(), *(code for _, code in self._again.values()))

    async def look_again(self) -> None:
        """Offer once more what failed for a passing reason, for ever."""
        while True:
            await asyncio.sleep(AGAIN_S)
            for channel, (content, _) in list(self._again.items()):
                self._arrived(channel, content)
            self._custody.intake.save_again()
            await self.reopen()

    async def reopen(self) -> None:
        """Have key services open what is kept, in threads; deliveries come after that, since they build on it."""
        intake = self._custody.intake
        async with self._one_at_a_time:
            texts = (*intake.unopened, *intake.unavailable)
            if texts:
                outcomes = await asyncio.gather(*(asyncio.to_thread(intake.attempt, text) for text in texts))
                self._custody.reopened(dict(zip(texts, outcomes, strict=True)))

    async def deliver(self, bundle: str, channel: str) -> str:
        """Admit a pushed bundle; return `admitted` or `unchanged`. Raises CredagentError, and nothing has changed."""
        custody = self._custody
        if custody.intake.keyring.local_only:
            standing = custody.push(bundle, channel)
        else:
            try:
                standing = await self._admit_elsewhere(bundle, channel)
            except CredagentError as error:
                custody.refuse(error, channel, pull=False)
                raise
            custody.accepted(channel)
        return "unchanged" if standing is Standing.AGAIN else "admitted"

    async def _follow_one(self, channel: PullChannel) -> None:
        """Follow one channel for ever. One that fails is silent for a while, and never holds up another."""
        while True:
            try:
                await channel.follow(lambda content: self._arrived(channel, content))
            except Exception as error:  # noqa: BLE001  a defect in one channel must not silence it for good, unsaid
                code = error.code if isinstance(error, CredagentError) else type(error).__name__
                self._failed[channel] = code
                log.warning("channel_failed", channel=channel.name, code=code)
            await asyncio.sleep(AGAIN_S)

    def _arrived(self, channel: PullChannel, content: Content) -> None:
        if isinstance(content, Unavailable):  # that says nothing about what it holds, nor about what is known of that
            self._custody.looked_at(channel.name)
            return
        self._again.pop(channel, None)
        self._failed.pop(channel, None)
        if isinstance(content, bytes) and not self._custody.intake.keyring.local_only:
            task = asyncio.create_task(self._offer_elsewhere(channel, content))
            self._admitting.add(task)
            task.add_done_callback(self._admitting.discard)
            return
        self._note(channel, content, self._custody.offer(content, channel.name, shared=channel.shared))
        self._custody.looked_at(channel.name)

    async def _offer_elsewhere(self, channel: PullChannel, content: bytes) -> None:
        try:
            await self._admit_elsewhere(content, channel.name)
        except CredagentError as error:
            self._custody.refuse_content(error, channel.name, shared=channel.shared)
            self._note(channel, content, error)
        else:
            self._custody.accepted(channel.name)
        self._custody.looked_at(channel.name)

    async def _admit_elsewhere(self, content: bytes | str, channel: str) -> Standing:
        """Admit a bundle whose key a cloud may hold: opening waits in a thread, the loop does not."""
        intake = self._custody.intake
        async with self._one_at_a_time:
            envelope = intake.examine(content)
            opened = await asyncio.to_thread(intake.open, envelope)
            return intake.admit(envelope, opened, channel)

    def _note(self, channel: PullChannel, content: Content, error: CredagentError | None) -> None:
        if error is not None and (not isinstance(error, Refused) or error.code in PASSING_REFUSALS):
            self._again[channel] = (content, error.code)
