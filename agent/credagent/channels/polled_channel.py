"""Channels that a cloud or a web server keeps. They are read by the helper process, each at its own pace.

One that cannot be read says nothing about what it holds: that is logged, shown and tried again, and changes nothing.
Only what was read and is no bundle (too large, ambiguous) is content that is refused.
"""

import random
import time
from collections.abc import Awaitable, Callable, Mapping

from credagent import log
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.channels.polling_schedule import PACES, delay_s, retry_s
from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Arrived, Content
from credagent.cloud_helper import job_requests, job_responses
from credagent.config.channel_grammar import Channel, HttpsChannelSpec, channel_text
from credagent.errors import ABSENT_CODES, Refused, Unavailable

REFUSED_CODES = {"channel-too-large": RefusalCode.TOO_LARGE, "channel-ambiguous": RefusalCode.MALFORMED}
"""What the channel holds was read, and is no bundle."""

UNREAD = object()
"""What a channel holds before anybody has seen it: not the same as nothing."""

Ask = Callable[[job_requests.ChannelGet, float], Awaitable[job_responses.Content]]
"""Asks the cloud, within a deadline in seconds. Raises Unavailable."""


class PolledChannel:
    """Satisfies PullChannel. Everything here may be read by more than one machine, so what is for others is absent.

    `trouble` is the code of the failure for which it cannot be read at present, empty where it can.
    """

    shared = True
    waits = True

    def __init__(
        self, channel: Channel, environ: Mapping[str, str], *, name: str, region: str = "", ask: Ask | None = None
    ) -> None:
        """Ask with the machine's own identity; `environ` says where the SDKs' services are."""
        self.name = name
        self._address = channel.url if isinstance(channel, HttpsChannelSpec) else channel_text(channel)
        self._environ, self._region = environ, region
        self._pace = PACES[channel.kind]
        self._ask = ask or self._call
        self._content: Content = None
        self._was_read = False
        self._version = ""
        self.trouble = ""
        self._failures = 0
        self._said_absent = False

    def present(self) -> Content:
        """Return nothing: it can only be had by waiting."""
        return None

    def fetched(self) -> Content:
        """Return the present content, waiting for it within the pace's deadline. For those without an event loop."""
        from credagent.cloud_helper.helper_call import call_blocking  # noqa: PLC0415  starts processes: nothing for the boot path

        try:
            return call_blocking(self._request(), deadline_s=self._pace.deadline_s, environ=self._environ).data
        except Unavailable as error:
            return None if error.code in ABSENT_CODES else self._failed(error)

    async def follow(self, arrived: Arrived) -> None:
        """Tell the content at the start and at each change, for ever; at the start also that it cannot be read."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        wait_s = await self.look(arrived, first=True)
        while True:
            await asyncio.sleep(wait_s)
            wait_s = await self.look(arrived)

    async def look(self, arrived: Arrived, *, first: bool = False) -> float:
        """Look once, tell what is new, and return the seconds until the next look."""
        began, request = time.monotonic(), self._request()
        before, unread = self._content if self._was_read else UNREAD, None
        try:
            found = await self._ask(request, self._pace.deadline_s + request.wait_s)
        except Unavailable as error:
            unread = error
            self._failures += 1
            if error.code in ABSENT_CODES:
                self._absent(error)
            else:
                self._failed(error)
            next_s = retry_s(self._failures, _chance(), code=error.code, retry_after_s=error.retry_after_s or 0.0)
        else:
            self._succeeded(found)
            waited_s = time.monotonic() - began if request.wait_s else 0.0
            next_s = delay_s(self._pace, _chance(), waited_s=waited_s, unchanged=found.unchanged)
        if not self._was_read:
            if first:
                arrived(unread)
        elif self._content is not before:
            arrived(self._content)
        return next_s

    def _succeeded(self, found: job_responses.Content) -> None:
        if self.trouble:
            log.info("channel_read_again", channel=self.name)
        self.trouble, self._failures, self._said_absent, self._was_read = "", 0, False, True
        if found.unchanged:
            return
        self._version = found.version
        if found.data != self._content:
            self._content = found.data

    def _absent(self, error: Unavailable) -> None:
        if not self._said_absent:
            log.info("channel_absent", channel=self.name, code=error.code, why=error.why)
        self.trouble, self._said_absent = "", True

    def _failed(self, error: Unavailable) -> Content:
        """Remember a failure, and say it once; return what the channel holds, as far as it is known."""
        if error.code in REFUSED_CODES:
            self.trouble, self._version, self._was_read = "", "", True
            if not (isinstance(self._content, Refused) and self._content.why == error.why):
                self._content = refusal(REFUSED_CODES[error.code], error.why)
        elif self.trouble != error.code:
            self.trouble = error.code
            log.warning("channel_unreadable", channel=self.name, code=error.code, why=error.why, hint=error.hint)
        return self._content

    async def _call(self, request: job_requests.ChannelGet, deadline_s: float) -> job_responses.Content:
        from credagent.cloud_helper.helper_call import call  # noqa: PLC0415  starts processes: nothing for the boot path

        return await call(request, deadline_s=deadline_s, environ=self._environ)

    def _request(self) -> job_requests.ChannelGet:
        return job_requests.ChannelGet(
            address=self._address,
            max_bytes=ENVELOPE_LIMIT_BYTES,
            version=self._version,
            wait_s=self._pace.wait_s if self._version else 0,
            region=self._region,
        )


def _chance() -> float:
    return random.random()  # noqa: S311  spreads requests; nothing depends on nobody guessing it
