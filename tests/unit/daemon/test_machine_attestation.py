"""When an agent has its cloud vouch for its key: when it is asked, and seldom."""

import asyncio
from typing import Any

import pytest

from credagent.attestation.statement import KeyStatement, Purpose
from credagent.cloud_helper.job_requests import AttestMachine
from credagent.cloud_helper.job_responses import AttestationMade
from credagent.daemon.machine_attestation import FAILED_S, REFUSED_S, USABLE_S, YOUNG_S, MachineAttestation
from credagent.errors import Unavailable

STATEMENT = KeyStatement(purpose=Purpose.RECIPIENT, key_line="k", audience="lab")
OTHER = KeyStatement(purpose=Purpose.RECIPIENT, key_line="k", audience="prod")


class Agent:
    """An agent's attestations, with a clock and a cloud that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.requests: list[AttestMachine] = []
        self.fails: Unavailable | None = None
        clock: Any = self
        self.attestation = MachineAttestation(clock, self.make)

    def monotonic(self) -> float:
        return self.seconds

    async def make(self, request: AttestMachine) -> AttestationMade:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return AttestationMade(attestation=f"{len(self.requests)}")

    async def text(self, statement: KeyStatement = STATEMENT, *, by_role: bool = False) -> str:
        return await self.attestation.text(statement, by_role=by_role)

    async def code(self) -> str:
        with pytest.raises(Unavailable) as raised:
            await self.text()
        return raised.value.code


def test_one_is_made_when_somebody_asks_and_another_when_it_is_no_longer_young() -> None:
    async def story() -> None:
        agent = Agent()
        assert list(await asyncio.gather(agent.text(), agent.text())) == ["1", "1"]
        agent.seconds += YOUNG_S
        assert await agent.text() == "1"
        agent.seconds += 1
        assert await agent.text() == "1"  # still usable, and the next one is being made
        await asyncio.sleep(0.01)
        assert await agent.text() == "2"
        agent.seconds += USABLE_S + 1
        assert await agent.text() == "3"

    asyncio.run(story())


def test_another_audience_and_a_proof_by_the_role_are_attestations_of_their_own() -> None:
    async def story() -> None:
        agent = Agent()
        assert [await agent.text(), await agent.text(by_role=True), await agent.text(OTHER)] == ["1", "2", "3"]
        assert await agent.text(OTHER) == "3"
        assert len({request.binding for request in agent.requests}) == 2

    asyncio.run(story())


@pytest.mark.parametrize(("retry", "lasts_s"), [(True, FAILED_S), (False, REFUSED_S)])
def test_a_failure_is_told_for_a_while_before_there_is_another_attempt(retry: bool, lasts_s: float) -> None:  # noqa: FBT001  a column
    async def story() -> None:
        agent = Agent()
        agent.fails = Unavailable("hop-limit", "w", hint="h", retry=retry)
        assert [await agent.code(), await agent.code()] == ["hop-limit", "hop-limit"]
        assert len(agent.requests) == 1
        agent.seconds += lasts_s + 1
        agent.fails = None
        assert await agent.text() == "2"

    asyncio.run(story())
