"""Two clouds in memory, where the cloud is not the point: every credential has a name, every call is remembered."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from msgspec import Struct, structs

from credagent.bundle.contents import KIND_OF_GRANT
from credagent.clock import Clock
from credagent.credentials import AwsCredentials, Credentials, GoogleToken, Held, Origin, Slot
from credagent.errors import CredagentError
from credagent.secret import Secret
from credagent.slots.source_fetcher import FetchSettings, request_for
from credagent.slots.source_state import MachineSource, Source

LIFETIMES_S = {"aws-machine": 6 * 3600.0, "google-machine": 3600.0}
ORIGINS = {
    "aws-machine": Origin.AWS_METADATA,
    "google-machine": Origin.GOOGLE_METADATA,
    "aws-assume-role": Origin.ASSUMED_ROLE,
    "google-impersonation": Origin.IMPERSONATION,
    "google-authorized-user": Origin.REFRESH_TOKEN,
}


class Call(Struct, frozen=True):
    """One attempt: of which kind, and when."""

    kind: str
    at: datetime
    monotonic: float


class CloudInMemory:
    """Satisfies the controllers' `Fetch`. Tests set `failing`, `lifetimes`, `gate` and `same_token`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.bounds = FetchSettings()
        self.calls: list[Call] = []
        self.failing: dict[str, CredagentError] = {}
        self.lifetimes = dict(LIFETIMES_S)
        self.gate: asyncio.Event | None = None  # attempts wait here while it is closed
        self.same_token: Held | None = None
        self._at_once: Counter[str] = Counter()
        self.most_at_once = 0  # of one cloud, and so of one slot

    async def __call__(self, source: Source) -> Held:
        kind = kind_of(source)
        self.calls.append(Call(kind, self._clock.now(), self._clock.monotonic()))
        number = len(self.calls)
        which = kind.partition("-")[0]
        self._at_once[which] += 1
        self.most_at_once = max(self.most_at_once, self._at_once[which])
        try:
            request_for(source, self.bounds)  # what the configuration forbids never reaches a cloud
            if self.gate is not None:
                await self.gate.wait()
            if kind in self.failing:
                raise self.failing[kind]
            if self.same_token is not None:
                return structs.replace(self.same_token, obtained_at=self._clock.now())
            return self._issue(kind, number)
        finally:
            self._at_once[which] -= 1

    def count(self, kind: str) -> int:
        """Return how often this kind was asked for."""
        return sum(call.kind == kind for call in self.calls)

    def _issue(self, kind: str, number: int) -> Held:
        now = self._clock.now()
        ends = now + timedelta(seconds=self.lifetimes.get(kind, 3600.0))
        credentials: Credentials
        if kind.startswith("aws"):
            name = f"{kind}-{number}"
            credentials = AwsCredentials(
                access_key_id=name, secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=ends
            )
        else:
            credentials = GoogleToken(access_token=Secret(f"{kind}-{number}"), expires_at=ends)
        return Held(credentials=credentials, origin=ORIGINS[kind], obtained_at=now, expires_at=ends)


def kind_of(source: Source) -> str:
    """Return `aws-machine`, `google-machine`, or the kind of the grant."""
    if isinstance(source, MachineSource):
        return "aws-machine" if source.slot is Slot.AWS else "google-machine"
    return KIND_OF_GRANT[type(source.grant)]
