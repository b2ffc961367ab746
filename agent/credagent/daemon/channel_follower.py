"""Follows the pull channels of a running agent, and brings what they and the socket deliver to the resolver.

Bundles that only a key service opens take one way, whoever brings them: offered, found to be `not-opened-yet`, opened
in a thread, and offered again with the outcome, one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from msgspec import structs

from credagent import log
from credagent.admission import deferred_opening
from credagent.admission.attested_senders import NOT_ATTESTED_YET
from credagent.admission.deferred_opening import DEFERRED, NOT_OPENED_YET, Outcome
from credagent.admission.rules import Standing
from credagent.channels.polled_channel import PolledChannel
from credagent.channels.pull_channel import Content, PullChannel
from credagent.clock import Clock
from credagent.cloud_helper.helper_call import call
from credagent.cloud_helper.job_requests import VerifyAttestations
from credagent.cloud_helper.job_responses import AttestationsVerified
from credagent.errors import CredagentError, Refused, Unavailable
from credagent.slots.credential_resolver import Arrival, CredentialResolver
from credagent.tick import until_tick

Verify = Callable[[VerifyAttestations], Awaitable[AttestationsVerified]]

PASSING_REFUSALS = frozenset({"from-the-future", "expired", "too-old"})  # the clock may be set right


class ChannelFollower:
    """The channels being followed, and what of theirs will be looked at again."""

    def __init__(self, resolver: CredentialResolver, clock: Clock, verify: Verify = call) -> None:
        """Bring bundles to `resolver`; `verify` has a helper ask the clouds of senders."""
        self._resolver, self._clock, self._verify = resolver, clock, verify
        self._again: dict[PullChannel, tuple[Content, str]] = {}
        self._failed: dict[PullChannel, str] = {}
        self._channels: Sequence[PullChannel] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def follow(self, channels: Sequence[PullChannel]) -> None:
        """Follow these channels instead of the present ones."""
        self.stop()
        self._again, self._failed = {}, {}
        self._channels = channels
        for channel in channels:
            self._begin(self._follow_one(channel))
        self._begin(self.reopen())

    def stop(self) -> None:
        """Follow nothing."""
        for task in tuple(self._tasks):
            task.cancel()

    def standing_errors(self) -> tuple[str, ...]:
        """Return the codes of what could not be read, or not be admitted for a passing reason."""
        troubles = (one.trouble for one in self._channels if isinstance(one, PolledChannel) and one.trouble)
        return (*troubles, *self._failed.values(), *(code for _, code in self._again.values()))

    async def look_again(self) -> None:
        """Offer once more what failed for a passing reason, for ever."""
        while True:
            await self._clock.sleep(until_tick(self._clock.monotonic()))
            for channel, (content, _) in list(self._again.items()):
                self._arrived(channel, content)
            self._resolver.admission.save_again()
            await self.reopen()

    async def reopen(self) -> None:
        """Have key services open what is kept; deliveries come after that, since they build on it."""
        admission = self._resolver.admission
        async with self._one_at_a_time:
            texts = admission.state.unopened
            if texts:
                outcomes = await asyncio.gather(*(self._ask(text) for text in texts))
                self._resolver.opened(dict(zip(texts, outcomes, strict=True)))

    async def deliver(self, bundle: str, channel: str) -> str:
        """Admit a pushed bundle; return `admitted` or `unchanged`. Raises CredagentError, and nothing has changed."""
        try:
            standing = self._resolver.push(bundle, channel)
        except Unavailable as error:
            if error.code not in DEFERRED:
                raise
            async with self._one_at_a_time:
                standing = await self._push_asked(bundle, channel, error.code)
        return "unchanged" if standing is Standing.AGAIN else "admitted"

    async def _push_asked(self, bundle: str, channel: str, code: str) -> Standing:
        """Admit a pushed bundle after whoever has to be asked was asked."""
        if code == NOT_ATTESTED_YET:
            try:
                await self._attest(bundle)
            except CredagentError as error:
                self._resolver.refusals.refuse_push(error, channel)
                raise
            try:
                return self._resolver.push(bundle, channel)
            except Unavailable as error:
                if error.code != NOT_OPENED_YET:
                    raise
        return self._resolver.push(bundle, channel, await self._ask(bundle))

    async def _attest(self, content: bytes | str) -> None:
        """Ask the cloud of a bundle's sender, in a helper. Raises CredagentError: why the sender is not trusted."""
        admission = self._resolver.admission
        claims = (admission.claim(content),)
        answer = await self._verify(VerifyAttestations(claims=claims))
        admission.note_sender(content, answer.outcomes[0])

    async def offer(self, channel: PullChannel, content: Content) -> None:
        """Offer what a channel holds, and wait for a key service where one has to open it."""
        opening = self._offered(channel, content)
        if opening is not None:
            await opening

    def _offered(self, channel: PullChannel, content: Content) -> Coroutine[None, None, None] | None:
        """Offer what a channel holds; return what is left to do where a key service has to open it."""
        arrival = Arrival(content=content, channel=channel.name, shared=channel.shared)
        error = self._resolver.offer(arrival)
        if isinstance(content, bytes) and error is not None and error.code == NOT_OPENED_YET:
            return self._offer_opened(channel, arrival, content)
        if isinstance(content, bytes) and error is not None and error.code == NOT_ATTESTED_YET:
            return self._offer_attested(channel, arrival, content)
        self._note(channel, content, error)
        return None

    async def _offer_opened(self, channel: PullChannel, arrival: Arrival, content: bytes) -> None:
        async with self._one_at_a_time:
            self._note(channel, content, self._resolver.offer(arrival, await self._ask(content)))

    async def _offer_attested(self, channel: PullChannel, arrival: Arrival, content: bytes) -> None:
        async with self._one_at_a_time:
            try:
                await self._attest(content)
            except CredagentError as error:
                self._note(channel, content, self._resolver.offer(structs.replace(arrival, content=error)))
                return
        opening = self._offered(channel, content)
        if opening is not None:
            await opening

    def _note(self, channel: PullChannel, content: Content, error: CredagentError | None) -> None:
        if error is not None and (not isinstance(error, Refused) or error.code in PASSING_REFUSALS):
            self._again[channel] = (content, error.code)

    async def _ask(self, content: bytes | str) -> Outcome:
        return await asyncio.to_thread(deferred_opening.ask, content, self._resolver.admission.settings.keyring)

    async def _follow_one(self, channel: PullChannel) -> None:
        """Follow one channel for ever. One that fails is silent for a while, and never holds up another."""
        while True:
            try:
                await channel.follow(lambda content: self._arrived(channel, content))
            except Exception as error:  # noqa: BLE001  a defect in one channel must not silence it for good, unsaid
                code = error.code if isinstance(error, CredagentError) else type(error).__name__
                self._failed[channel] = code
                log.warning("channel_failed", channel=channel.name, code=code)
            await self._clock.sleep(until_tick(self._clock.monotonic()))

    def _arrived(self, channel: PullChannel, content: Content) -> None:
        if isinstance(content, Unavailable):  # that says nothing about what it holds, nor about what is known of that
            self._resolver.looked_at(channel.name)
            return
        self._again.pop(channel, None)
        self._failed.pop(channel, None)
        opening = self._offered(channel, content)
        if opening is not None:
            self._begin(opening)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
