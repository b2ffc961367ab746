"""What clouds say of the machines' keys: verified in a helper, remembered for minutes, judged anew by the policy.

A verdict is of exactly one key, audience and host name, and holds the whole identity with its account or project. It is
renewed with a newer attestation before it is old; where that cannot be had, it ends. Several machines are verified by
one helper. Who decides what is sealed is `key_trust`.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from credagent.attestation import identity as identities
from credagent.attestation.identity import Identity
from credagent.attestation.policy import AttestPolicy
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.clock import Clock
from credagent.cloud_helper.helper_call import call
from credagent.cloud_helper.job_requests import AttestationClaim, VerifyAttestations
from credagent.cloud_helper.job_responses import AttestationOutcome, AttestationsVerified, GoogleCertificates
from credagent.dask_cluster.agent_report import AgentReport
from credagent.errors import NO_IDENTITY, CredagentError
from credagent.forwarder.key_trust import NOT_ATTESTED, Distrusted

HOLDS = timedelta(minutes=15)
RENEWED = timedelta(minutes=8)
ASKED_AGAIN = timedelta(seconds=10)  # after a cloud could not be asked
MOST_REMEMBERED = 16_384
BATCH_BYTES = 48 * 1024  # a helper's request has at most 60 KiB
GATHER_S = 0.05  # machines are asked many at once, and their answers come together
DEADLINE_S = 20.0
NO_CLOUD, TOO_OLD_AGENT = "no-cloud", "agent-too-old"
_NO_CLOUD = (
    'no cloud vouches for its key: name it, recipients= (--recipient), or say trust="first-use" or "any" (--trust)'
)
_TOO_OLD = 'its agent cannot attest yet: update credagent there, or say recipients=, trust="first-use" or "any"'

Verify = Callable[[VerifyAttestations], Awaitable[AttestationsVerified]]


class _Subject(Struct, frozen=True):
    """Of what a verdict is."""

    key_line: str
    audience: str
    host: str


class _Known(Struct, frozen=True, kw_only=True):
    """What is known of a subject: the newest identity that was verified, and what became of the newest attestation."""

    newest: bytes = b""  # the digest of that attestation
    outcome: AttestationOutcome = AttestationOutcome()
    asked_at: datetime
    identity: Identity | None = None
    verified_at: datetime | None = None

    def holds(self, now: datetime, span: timedelta = HOLDS) -> bool:
        """Tell whether the identity was verified within `span`; a clock that was set back ends it too."""
        return self.verified_at is not None and timedelta(0) <= now - self.verified_at <= span


class AttestedMachines:
    """The verdicts of one forwarder."""

    def __init__(
        self, policy: Callable[[], AttestPolicy], environ: Mapping[str, str], clock: Clock, verify: Verify | None = None
    ) -> None:
        """Believe nobody yet. `policy` is asked at each judgement; `verify` has a helper do it."""
        self._policy, self._clock = policy, clock
        self._verify = verify or partial(call, deadline_s=DEADLINE_S, environ=environ)
        self._known: dict[_Subject, _Known] = {}
        self._waiting: dict[tuple[_Subject, str], asyncio.Future[None]] = {}
        self._google: GoogleCertificates | None = None
        self._working: asyncio.Task[None] | None = None

    async def learn(self, report: AgentReport) -> None:
        """Have the attestation of `report` verified, where that could change what is known. Raises nothing."""
        if report.key is None or not report.attestation or not self._is_news(report):
            return
        wanted = (_subject(report), report.attestation)
        if wanted not in self._waiting:
            self._waiting[wanted] = asyncio.get_running_loop().create_future()
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work())
        await asyncio.wait([self._waiting[wanted]])  # which cancels nothing, where this is cancelled

    def judge(self, report: AgentReport) -> Distrusted | None:
        """Return why the machine gets nothing; None where its cloud says that it is one of those that may."""
        known = self._known.get(_subject(report)) if report.key is not None else None
        if known is not None and known.identity is not None and known.holds(self._clock.now()):
            refused = self._policy().refused(known.identity)
            return Distrusted(refused.code, f"{refused.why}; {refused.hint}") if refused is not None else None
        if known is not None and known.newest == _digest(report.attestation) and known.outcome.code:
            told = f"{known.outcome.why}; {known.outcome.hint}"
            return Distrusted(known.outcome.code, told, passing=known.outcome.retry)
        return _unattested(report)

    def has_believed(self, report: AgentReport) -> bool:
        """Tell whether the machine's cloud once said that it is one of those that may, however long ago."""
        known = self._known.get(_subject(report)) if report.key is not None else None
        return known is not None and known.identity is not None and self._policy().refused(known.identity) is None

    def ground(self, report: AgentReport) -> str:
        """Say on what ground the machine's key is believed; empty where it is not."""
        known = self._known.get(_subject(report)) if report.key is not None else None
        if report.key is None or known is None or known.identity is None or self.judge(report) is not None:
            return ""
        return identities.ground(known.identity, report.key.key_id)

    def _is_news(self, report: AgentReport) -> bool:
        known, now = self._known.get(_subject(report)), self._clock.now()
        if known is None:
            return True
        if known.newest == _digest(report.attestation) and not known.outcome.retry:
            return False  # it is known what that one is worth
        waits = RENEWED if known.holds(now) else ASKED_AGAIN if known.outcome.retry else timedelta(0)
        return not timedelta(0) <= now - known.asked_at < waits

    async def _work(self) -> None:
        """Verify what waits, in batches, until nothing does."""
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            batch: list[tuple[_Subject, str]] = []
            size = 0
            for subject, attestation in self._waiting:
                size += len(attestation) + 100
                if batch and size > BATCH_BYTES:
                    break
                batch.append((subject, attestation))
            outcomes = await self._verified(batch)
            for wanted, outcome in zip(batch, outcomes, strict=True):
                self._remember(*wanted, outcome)
                self._waiting.pop(wanted).set_result(None)

    async def _verified(self, batch: list[tuple[_Subject, str]]) -> tuple[AttestationOutcome, ...]:
        claims = tuple(AttestationClaim(attestation, _statement(subject).binding) for subject, attestation in batch)
        try:
            answer = await self._verify(VerifyAttestations(claims=claims, google=self._google))
        except CredagentError as error:
            return tuple(AttestationOutcome(code=error.code, why=error.why, hint=error.hint, retry=True) for _ in batch)
        self._google = answer.google
        return answer.outcomes

    def _remember(self, subject: _Subject, attestation: str, outcome: AttestationOutcome) -> None:
        before, now = self._known.pop(subject, None), self._clock.now()
        identity, verified_at = outcome.identity, now
        if identity is None and before is not None and before.verified_at is not None:
            identity, verified_at = before.identity, before.verified_at  # until it has become old
        self._known[subject] = _Known(
            newest=_digest(attestation),
            outcome=outcome,
            asked_at=now,
            identity=identity,
            verified_at=verified_at if identity is not None else None,
        )
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]


def _unattested(report: AgentReport) -> Distrusted:
    """Return what is said of a machine of whose attestation nothing is known."""
    fault = report.attestation_fault
    if fault == NO_IDENTITY:
        return Distrusted(NO_CLOUD, _NO_CLOUD)
    if fault == "bad-request":
        return Distrusted(TOO_OLD_AGENT, _TOO_OLD)
    if fault and fault != "attestation-pending":
        return Distrusted(fault, f"it cannot attest: {report.attestation_hint or fault}")
    return Distrusted(NOT_ATTESTED, "its agent has not yet told what its cloud says of its key", passing=True)


def _subject(report: AgentReport) -> _Subject:
    return _Subject(report.key.line if report.key is not None else "", report.audience, report.host)


def _statement(subject: _Subject) -> KeyStatement:
    return KeyStatement(purpose=Purpose.RECIPIENT, key_line=subject.key_line, audience=subject.audience)


def _digest(attestation: str) -> bytes:
    return hashlib.sha256(attestation.encode()).digest()
