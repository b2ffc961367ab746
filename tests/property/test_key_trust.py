"""No sequence of reports, in any order, by any address, makes an envelope for a key that no rule admitted.

Where clouds vouch for keys, what grants nothing may go to a key for which one did before; a grant may not.
"""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.bundle.opening import open_envelope
from credagent.clock import SystemClock
from credagent.credentials import Slot
from credagent.dask_cluster import scheduler_address
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.key_trust import UNNAMED_AUDIENCE, Distrusted, KeyJudge, TrustBasis, Verdict
from credagent.forwarder.machine_reconciler import MachineReconciler
from credagent.forwarder.user_notices import UserNotices
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from tests.unit.forwarder.fake_cluster import SENDER

PRIVATE_KEYS = [RecipientPrivateKey.generate() for _ in range(4)]
KEYS = [key.public_key for key in PRIVATE_KEYS]
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
steps = st.lists(
    st.one_of(reports, st.sampled_from(["deliver", "end of first use", "revise", "withdraw"])), max_size=25
)
reports_of_few = st.builds(
    AgentReport,
    address=st.sampled_from(ADDRESSES[:2]),
    host=st.just("a"),
    key=st.sampled_from(KEYS[:3]),
    outcome=st.sampled_from(["", "admitted", "too-old"]),
)
steps_of_few = st.lists(
    st.one_of(reports_of_few, st.sampled_from(["deliver", "revise", "vouch", "forget", "withdraw"])), max_size=15
)


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

    def __init__(
        self, basis: TrustBasis, pinned: tuple[RecipientPublicKey, ...], audience: str, cloud: "Cloud"
    ) -> None:
        self._basis, self._pinned, self._audience, self.cloud = basis, pinned, audience, cloud
        self._attested: dict[str, RecipientPublicKey] = {}  # by the machine, as it was when it last said something
        self._may_be_granted: set[RecipientPublicKey] = set()
        self.first_use = True
        self.keys: set[RecipientPublicKey] = set()
        self.audiences: set[str] = set()

    def see(self, report: AgentReport) -> None:
        self._attested.pop(report.machine, None)
        if report.key in self.cloud.vouched and report.key is not None:
            self._attested[report.machine] = report.key
            self._may_be_granted.add(report.key)
        if self._audience and report.audience not in ("", self._audience):
            return
        if report.key is not None and (self._basis is TrustBasis.ANY or self.first_use):
            self.keys.add(report.key)
        shared = self._basis is TrustBasis.PINNED and report.key not in self._pinned
        if shared and not self._audience and report.audience and not self.audiences:
            self.audiences.add(report.audience)

    def begin_step(self) -> None:
        """What is delivered together goes by what was known before, or is learnt meanwhile."""
        self._may_be_granted = set(self._attested.values())

    def admit(self, text: str) -> bool:
        parsed = envelope.parse(text)
        ids = {stanza.recipient_id for stanza in parsed.stanzas}
        if self._basis is TrustBasis.ATTESTED:
            grants = open_envelope(parsed, PRIVATE_KEYS).grants
            may = self._may_be_granted if grants else self.cloud.once_vouched
            return ids <= {key.recipient_id for key in may} and self._is_possible(parsed.header.audience)
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


class Cloud:
    """Vouches for the first two keys, or for none; stands for `AttestedMachines`."""

    def __init__(self) -> None:
        self.vouched: set[RecipientPublicKey] = set()
        self.once_vouched: set[RecipientPublicKey] = set()

    async def learn(self, report: AgentReport) -> None:
        raise AssertionError("nothing is asked for here")

    def judge(self, report: AgentReport) -> Distrusted | None:
        return None if report.key in self.vouched else Distrusted("attestation-old", "w")

    def has_believed(self, report: AgentReport) -> bool:
        return report.key in self.once_vouched

    def ground(self, report: AgentReport) -> str:
        return ""

    def vouch(self) -> None:
        self.vouched = set(KEYS[:2])
        self.once_vouched |= self.vouched


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
        rules = Rules(basis, pinned, audience, Cloud())
        judge = WatchedJudge(rules, basis, pinned, audience)
        asyncio.run(_play(script, Liars(answers), rules, judge, _plan(Path(folder), pinned, audience)))


@settings(max_examples=150)
@given(script=steps_of_few, answers=st.lists(reports_of_few, max_size=8))
def test_where_a_cloud_s_word_has_lapsed_no_grant_is_sent_and_a_withdrawal_only_where_it_was_believed(
    script: list[Any], answers: list[AgentReport]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rules = Rules(TrustBasis.ATTESTED, (), "lab", Cloud())
        judge = WatchedJudge(rules, TrustBasis.ATTESTED, (), "lab")
        asyncio.run(_play(["vouch", *script], Liars(answers), rules, judge, _plan(Path(folder), (), "lab")))


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
        super().__init__(basis, pinned, audience, rules.cloud)
        self._rules = rules

    def judge(self, report: AgentReport, *, asked: bool = True, withdrawal: bool = False) -> Verdict:
        self._rules.see(report)
        return super().judge(report, asked=asked, withdrawal=withdrawal)


async def _play(script: list[Any], cluster: Liars, rules: Rules, judge: KeyJudge, plan: ForwardingPlan) -> None:
    revision = BundleRevision(1, LocalIdentity(), plan, datetime.now(UTC))
    reconciler = MachineReconciler(revision, judge, UserNotices(lambda _text: None), SystemClock())
    for step in script:
        rules.begin_step()
        match step:
            case "deliver":
                await reconciler.deliver(cast("SchedulerClient", cluster), again=True)
            case "end of first use":
                judge.end_first_use()
                rules.first_use = False
            case "revise":
                number = reconciler.revision.number + 1
                withdrawn = reconciler.revision.withdrawn
                reconciler.revise(BundleRevision(number, LocalIdentity(), plan, datetime.now(UTC), withdrawn))
            case "vouch":
                rules.cloud.vouch()
            case "forget":
                rules.cloud.vouched = set()
            case "withdraw":
                number, slots = reconciler.revision.number + 1, frozenset({Slot.ENVIRONMENT})
                reconciler.revise(BundleRevision(number, LocalIdentity(), plan, datetime.now(UTC), slots))
            case AgentReport():
                reconciler.take(step, reconciler.revision)
        assert all(map(rules.admit, cluster.texts))
        cluster.texts.clear()
