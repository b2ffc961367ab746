"""No sequence of reports, in any order, by any address, makes an envelope for a key that no rule admitted."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.clock import SystemClock
from credagent.dask_cluster import scheduler_address
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.key_trust import UNNAMED_AUDIENCE, KeyJudge, TrustBasis, Verdict
from credagent.forwarder.machine_reconciler import MachineReconciler
from credagent.forwarder.user_notices import UserNotices
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from tests.unit.forwarder.fake_cluster import SENDER

KEYS = [RecipientPrivateKey.generate().public_key for _ in range(4)]
ADDRESSES = [f"tcp://10.0.0.{number}:1" for number in range(4)]
AUDIENCES = ["", "lab", "home"]

reports = st.builds(
    AgentReport,
    address=st.sampled_from(ADDRESSES),
    host=st.sampled_from(["a", "b"]),
    key=st.sampled_from([*KEYS, None]),
    audience=st.sampled_from(AUDIENCES),
    outcome=st.sampled_from(["", "admitted", "too-old", "not-for-this-machine"]),
    sender=st.sampled_from(["", SENDER.key_id, "ab" * 16]),
)
steps = st.lists(st.one_of(reports, st.just("deliver"), st.just("end of first use"), st.just("revise")), max_size=25)


class Liars:
    """A scheduler whose processes answer deliveries with whatever comes next. Keeps every text that was given away."""

    def __init__(self, answers: list[AgentReport]) -> None:
        self._answers = answers
        self.texts: list[str] = []

    async def deliver(self, address: str, text: str) -> AgentReport | None:
        from msgspec.structs import replace

        self.texts.append(text)
        return replace(self._answers.pop(), address=address) if self._answers else None


class Rules:
    """What may be sealed to, said once more and independently: pairs of key and audience."""

    def __init__(self, basis: TrustBasis, pinned: tuple[RecipientPublicKey, ...], audience: str) -> None:
        self._basis, self._pinned, self._audience = basis, pinned, audience
        self.first_use = True
        self.keys: set[RecipientPublicKey] = set()
        self.audiences: set[str] = set()

    def see(self, report: AgentReport) -> None:
        if self._audience and report.audience not in ("", self._audience):
            return
        if report.key is not None and (self._basis is TrustBasis.ANY or self.first_use):
            self.keys.add(report.key)
        shared = self._basis is TrustBasis.PINNED and report.key not in self._pinned
        if shared and not self._audience and report.audience and not self.audiences:
            self.audiences.add(report.audience)

    def admit(self, text: str) -> bool:
        parsed = envelope.parse(text)
        ids = {stanza.recipient_id for stanza in parsed.stanzas}
        if self._basis is not TrustBasis.PINNED:
            return ids <= {key.recipient_id for key in self.keys} and self._is_possible(parsed.header.audience)
        if not ids <= {key.recipient_id for key in self._pinned}:
            return False
        own = len(ids) == 1
        return self._is_possible(parsed.header.audience) if own else self._is_shared(parsed.header.audience)

    def _is_possible(self, audience: str) -> bool:
        return audience == self._audience if self._audience else audience in (*AUDIENCES, UNNAMED_AUDIENCE)

    def _is_shared(self, audience: str) -> bool:
        return audience == self._audience if self._audience else audience in self.audiences


@settings(max_examples=150)
@given(
    script=steps,
    answers=st.lists(reports, max_size=8),
    basis=st.sampled_from([TrustBasis.ANY, TrustBasis.FIRST_USE, TrustBasis.PINNED]),
    audience=st.sampled_from(AUDIENCES),
)
def test_no_envelope_is_made_for_a_key_that_no_rule_admitted(
    script: list[Any], answers: list[AgentReport], basis: TrustBasis, audience: str
) -> None:
    pinned = (KEYS[0], KEYS[1]) if basis is TrustBasis.PINNED else ()
    with tempfile.TemporaryDirectory() as folder:
        rules = Rules(basis, pinned, audience)
        judge = WatchedJudge(rules, basis, pinned, audience)
        asyncio.run(_play(script, Liars(answers), rules, judge, _plan(Path(folder), pinned, audience)))


def _plan(folder: Path, pinned: tuple[RecipientPublicKey, ...], audience: str) -> ForwardingPlan:
    place = scheduler_address.parse("tcp://127.0.0.1:1")
    return ForwardingPlan(
        options=GrantOptions(audience=audience, aws="none", variables={"X": Secret("1")}),
        key=SENDER,
        pinned=pinned,
        trust=None,
        whereabouts=lambda: place,
        environ={"XDG_STATE_HOME": str(folder)},
    )


class WatchedJudge(KeyJudge):
    """Shows the rules what the judge sees, in its order."""

    def __init__(self, rules: Rules, basis: TrustBasis, pinned: tuple[RecipientPublicKey, ...], audience: str) -> None:
        super().__init__(basis, pinned, audience)
        self._rules = rules

    def judge(self, report: AgentReport, *, asked: bool = True) -> Verdict:
        self._rules.see(report)
        return super().judge(report, asked=asked)


async def _play(script: list[Any], cluster: Liars, rules: Rules, judge: KeyJudge, plan: ForwardingPlan) -> None:
    revision = BundleRevision(1, LocalIdentity(), plan, datetime.now(UTC))
    reconciler = MachineReconciler(revision, judge, UserNotices(lambda _text: None), SystemClock())
    for step in script:
        match step:
            case "deliver":
                await reconciler.deliver(cast("SchedulerClient", cluster), again=True)
            case "end of first use":
                judge.end_first_use()
                rules.first_use = False
            case "revise":
                number = reconciler.revision.number + 1
                reconciler.revision = BundleRevision(number, LocalIdentity(), plan, datetime.now(UTC))
            case AgentReport():
                reconciler.take(step, reconciler.revision)
        assert all(map(rules.admit, cluster.texts))
