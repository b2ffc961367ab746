"""What is remembered of clouds' words: of exactly one key, audience and host, for minutes, under the policy of now."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from credagent.attestation.identity import AwsIdentity
from credagent.attestation.policy import AttestPolicy
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.cloud_helper.job_requests import VerifyAttestations
from credagent.cloud_helper.job_responses import AttestationOutcome, AttestationsVerified
from credagent.dask_cluster.agent_report import AgentReport
from credagent.errors import Unavailable
from credagent.forwarder.attested_machines import AttestedMachines
from credagent.forwarder.key_trust import Distrusted, KeyJudge, TrustBasis, TrustedRecipient

ACCOUNT = "123456789012"


def in_a_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(story)
    def run() -> None:
        asyncio.run(story())

    return run


MINE = AwsIdentity(partition="aws", account=ACCOUNT, arn="a", role="aws:ec2-instance", session="i-1", instance="i-1")


class Clock:
    """A wall clock that a test steps."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def step(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)


class Cloud:
    """Believes attestations that are its text for a binding, of whoever is said; counts its requests."""

    def __init__(self) -> None:
        self.identity = MINE
        self.requests: list[VerifyAttestations] = []
        self.fails: Unavailable | None = None

    async def __call__(self, request: VerifyAttestations) -> AttestationsVerified:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return AttestationsVerified(outcomes=tuple(map(self._outcome, request.claims)))

    def _outcome(self, claim: Any) -> AttestationOutcome:
        if claim.attestation.startswith(f"of {claim.binding}"):
            return AttestationOutcome(identity=self.identity)
        return AttestationOutcome(code="attestation-mismatch", why="of another", hint="h")


class Story:
    """One sender's memory, with a cloud and a clock of its own."""

    def __init__(self) -> None:
        self.clock, self.cloud = Clock(), Cloud()
        self.policy = AttestPolicy(aws_accounts=(ACCOUNT,))
        clock: Any = self.clock
        self.machines = AttestedMachines(lambda: self.policy, {}, clock, self.cloud)
        self.judge = KeyJudge(TrustBasis.ATTESTED, (), "", self.machines)

    def report(self, host: str = "a", audience: str = "lab", number: int = 0) -> AgentReport:
        key = RecipientPrivateKey.generate().public_key
        statement = KeyStatement(purpose=Purpose.RECIPIENT, key_line=key.line, audience=audience)
        text = f"of {statement.binding} {number}"
        return AgentReport(address=f"tcp://{host}:1", host=host, key=key, audience=audience, attestation=text)

    async def code(self, report: AgentReport) -> str:
        await self.judge.learn(report)
        verdict = self.judge.judge(report)
        return verdict.code if isinstance(verdict, Distrusted) else ""


@in_a_loop
async def test_a_machine_of_one_s_own_account_is_believed_and_the_ground_is_said() -> None:
    story = Story()
    found = story.report()
    assert await story.code(found) == ""
    assert story.judge.judge(found) == TrustedRecipient(found.key, "lab")
    assert found.key is not None
    assert story.judge.ground(found) == (
        f"AWS says that key {fingerprint(found.key.key_id)} belongs to i-1 in account {ACCOUNT}"
    )


@in_a_loop
async def test_a_stolen_a_replayed_and_a_swapped_attestation_are_of_nobody_else() -> None:
    story = Story()
    mine, thief = story.report(), story.report("thief")
    assert await story.code(mine) == ""
    assert await story.code(replace(thief, attestation=mine.attestation)) == "attestation-mismatch"
    assert await story.code(replace(mine, audience="prod")) == "attestation-mismatch"
    assert await story.code(replace(mine, attestation=thief.attestation)) == ""  # it was believed a moment ago
    story.clock.step(16)
    assert await story.code(replace(mine, attestation=thief.attestation)) == "attestation-mismatch"


@in_a_loop
async def test_another_host_name_is_another_verdict() -> None:
    story = Story()
    found = story.report()
    assert await story.code(found) == ""
    elsewhere = replace(found, host="b")
    assert isinstance(story.judge.judge(elsewhere), Distrusted)
    assert await story.code(elsewhere) == ""
    assert len(story.cloud.requests) == 2


@in_a_loop
async def test_a_foreign_account_is_refused_whatever_was_remembered_of_its_name() -> None:
    story = Story()
    story.cloud.identity = replace(MINE, account="999999999999")
    found = story.report()
    assert await story.code(found) == "other-account"
    story.policy = AttestPolicy(aws_accounts=("999999999999",))
    assert await story.code(found) == ""
    story.policy = AttestPolicy(aws_accounts=(ACCOUNT,))
    assert await story.code(found) == "other-account"
    assert len(story.cloud.requests) == 1


@in_a_loop
async def test_a_verdict_is_renewed_before_it_is_old_and_ends_where_that_fails() -> None:
    story = Story()
    found = story.report()
    assert await story.code(found) == ""
    story.clock.step(5)
    newer = replace(found, attestation=f"{found.attestation} newer")
    assert await story.code(newer) == ""
    assert len(story.cloud.requests) == 1  # young enough
    story.clock.step(5)
    story.cloud.fails = Unavailable("unreachable", "no route", hint="h")
    assert await story.code(newer) == ""
    assert len(story.cloud.requests) == 2
    story.clock.step(6)
    assert await story.code(newer) == "unreachable"
    story.cloud.fails = None
    story.clock.step(1)
    assert await story.code(newer) == ""


@in_a_loop
async def test_where_a_verdict_has_lapsed_a_withdrawal_may_go_there_and_a_grant_may_not() -> None:
    story = Story()
    found, never, foreign = story.report(), story.report("b"), story.report("c")
    assert await story.code(found) == ""
    story.cloud.identity = replace(MINE, account="999999999999")
    assert await story.code(foreign) == "other-account"
    story.clock.step(16)
    assert isinstance(story.judge.judge(found), Distrusted)
    assert story.judge.judge(found, withdrawal=True) == TrustedRecipient(found.key, "lab", grants=False)
    for stranger in (never, foreign, replace(found, host="elsewhere"), replace(found, audience="prod")):
        assert isinstance(story.judge.judge(stranger, withdrawal=True), Distrusted)


@in_a_loop
async def test_a_cloud_that_cannot_be_asked_is_asked_again_and_nothing_is_believed_meanwhile() -> None:
    story = Story()
    story.cloud.fails = Unavailable("throttled", "too many", hint="h")
    found = story.report()
    assert await story.code(found) == "throttled"
    assert await story.code(found) == "throttled"
    verdict = story.judge.judge(found)
    assert isinstance(verdict, Distrusted)
    assert verdict.passing  # a worker that waits for its first bundle waits on
    assert len(story.cloud.requests) == 1
    story.cloud.fails = None
    story.clock.step(1)
    assert await story.code(found) == ""


@in_a_loop
async def test_what_is_refused_is_not_asked_about_again() -> None:
    story = Story()
    found = replace(story.report(), attestation="nonsense")
    for _ in range(3):
        assert await story.code(found) == "attestation-mismatch"
    assert len(story.cloud.requests) == 1


@in_a_loop
async def test_machines_that_are_asked_together_are_verified_together() -> None:
    story = Story()
    reports = [story.report(f"host-{number}") for number in range(40)]
    assert set(await asyncio.gather(*map(story.code, reports))) == {""}
    assert len(story.cloud.requests) == 1
    large = [replace(story.report(f"large-{n}"), attestation="x" * 4000) for n in range(40)]
    await asyncio.gather(*map(story.code, large))
    assert all(sum(len(one.attestation) for one in request.claims) < 50_000 for request in story.cloud.requests)


@in_a_loop
async def test_a_machine_that_cannot_attest_is_refused_with_its_remedy() -> None:
    story = Story()
    bare = replace(story.report(), attestation="")
    assert await story.code(bare) == "not-attested"
    assert await story.code(replace(bare, attestation_fault="no-identity")) == "no-cloud"
    assert await story.code(replace(bare, attestation_fault="bad-request")) == "agent-too-old"
    assert await story.code(replace(bare, attestation_fault="no-service-account")) == "no-service-account"
    filtered = replace(bare, attestation_fault="hop-limit", attestation_hint="raise it")
    verdict = story.judge.judge(filtered)
    assert isinstance(verdict, Distrusted)
    assert (verdict.code, verdict.why) == ("hop-limit", "it cannot attest: raise it")
    assert await story.code(replace(story.report(), key=None)) == "no-key"
    assert story.cloud.requests == []


@in_a_loop
async def test_a_clock_that_was_set_back_ends_a_verdict() -> None:
    story = Story()
    found = story.report()
    assert await story.code(found) == ""
    story.clock.step(-60)
    assert isinstance(story.judge.judge(found), Distrusted)
