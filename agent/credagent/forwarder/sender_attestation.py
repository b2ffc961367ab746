"""The sender's own attestation beside a sealed bundle, for machines that trust senders by identity.

It is bound to the bundle's sequence and audience, made when the first machine wants it, and made anew while it is used.
A sender whose cloud attests nothing (a person's login at Google) sends the bundle as it is: a machine that knows its
key admits it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from credagent.clock import Clock
from credagent.cloud_helper.helper_call import call
from credagent.cloud_helper.job_requests import AttestSender
from credagent.cloud_helper.job_responses import AttestationMade
from credagent.errors import CredagentError
from credagent.sender.attested_bundle import request_for
from credagent.sender.grant_options import GrantOptions

YOUNG_S = 480.0  # machines believe it for 15 minutes
FAILED_S = 60.0
MOST_KEPT = 64  # one for each audience and revision; the oldest are of no use any more

Make = Callable[[AttestSender], Awaitable[AttestationMade]]


class SenderAttestation:
    """The newest attestation for each bundle that is being delivered. `failure`: why the last one could not be made."""

    def __init__(
        self, options: GrantOptions, environ: Mapping[str, str], clock: Clock, make: Make | None = None
    ) -> None:
        """Make nothing yet; `make` has a helper do it."""
        self._options, self._clock, self._make = options, clock, make or partial(call, environ=environ)
        self._kept: dict[str, tuple[float, str]] = {}  # by the binding: when, and the text or none
        self._one_at_a_time = asyncio.Lock()
        self.failure: CredagentError | None = None

    async def beside(self, text: str) -> str:
        """Return an envelope's text with the attestation of its sender; alone, where none is to be had."""
        request = request_for(text, self._options)
        async with self._one_at_a_time:
            at, attestation = self._kept.get(request.binding, (float("-inf"), ""))
            if self._clock.monotonic() - at > (YOUNG_S if attestation else FAILED_S):
                attestation = await self._made(request)
        return f"{text}\n{attestation}" if attestation else text

    async def _made(self, request: AttestSender) -> str:
        try:
            text, self.failure = (await self._make(request)).attestation, None
        except CredagentError as error:
            text, self.failure = "", error
        self._kept.pop(request.binding, None)
        self._kept[request.binding] = (self._clock.monotonic(), text)
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return text
