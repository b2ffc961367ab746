"""One hostile worker, or scheduler, keeps no credentials from the others and has no word on the sender's terminal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from credagent.bundle import base64url, envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey, SenderPrivateKey
from credagent.clock import SystemClock
from credagent.dask_cluster import scheduler_address
from credagent.dask_cluster.agent_report import AgentReport, parse
from credagent.dask_cluster.dask_plugins import TOPIC
from credagent.dask_cluster.scheduler_client import SchedulerClient
from credagent.errors import ConfigurationError, UsageError
from credagent.forwarder import key_trust
from credagent.forwarder.announcement_filter import LETTERS, LETTERS_IN_ONE_NAME, AnnouncementVerdict
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.event_listener import EventListener
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.known_machines import WAITING
from credagent.forwarder.loop import ForwarderLoop
from credagent.forwarder.machine_reconciler import MachineReconciler, Own
from credagent.forwarder.user_notices import UserNotices
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions

HONEST, HOSTILE = (RecipientPrivateKey.generate().public_key for _ in range(2))
SENDER = SenderPrivateKey.generate()
PLACE = scheduler_address.parse("tcp://127.0.0.1:8786")


class Post:
    """Stands for the courier: everybody admits what comes, and says so."""

    def __init__(self) -> None:
        self.delivered: dict[str, str] = {}
        self.mailed: list[dict[str, object]] = []

    async def deliver(self, where: str, text: str) -> AgentReport | None:
        self.delivered[where] = text
        return None

    async def mail(self, _nonce: str, content: dict[str, object]) -> None:
        self.mailed.append(content)


@pytest.fixture
def plan(tmp_path: Path) -> ForwardingPlan:
    options = GrantOptions(audience="", aws="none", variables={"X": Secret("1")})
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    return ForwardingPlan(
        options=options, key=SENDER, pinned=(), trust="any", whereabouts=lambda: PLACE, environ=environ
    )


@pytest.fixture
def rounds(plan: ForwardingPlan) -> MachineReconciler:
    made = MachineReconciler(
        plan, key_trust.TrustBasis.ANY, UserNotices(lambda _text: None), SystemClock(), Own(boot="", pid=1)
    )
    made.publish(
        BundleRevision(
            plan.options, LocalIdentity(), key=SENDER, pinned=(), environ=plan.environ, now=datetime.now(UTC)
        )
    )
    return made


def report(key: RecipientPublicKey, where: str, audience: str = "lab", nonce: str = "") -> AgentReport:
    return AgentReport(address=where, host=where, key=key, audience=audience, nonce=nonce)


@pytest.mark.parametrize("audience", ["x" * 256, "\u20ac" * 100])
def test_an_audience_that_no_bundle_can_have_costs_only_the_machine_that_names_it(
    rounds: MachineReconciler, audience: str
) -> None:
    rounds.heard(report(HOSTILE, "tcp://evil:1", audience))
    rounds.heard(report(HONEST, "tcp://good:1"))
    post = Post()
    asyncio.run(rounds.deliver(cast("SchedulerClient", post)))
    assert set(post.delivered) == {"tcp://good:1"}


def test_whoever_claims_the_key_of_another_machine_neither_answers_for_it_nor_names_its_audience(
    rounds: MachineReconciler,
) -> None:
    class Liar(Post):
        async def deliver(self, where: str, text: str) -> AgentReport | None:
            await super().deliver(where, text)
            return AgentReport(address=where, host=where, key=HONEST, audience="lab", outcome="admitted")

    rounds.heard(report(HONEST, "tcp://10.0.0.1:1"))
    for port in range(20):
        rounds.heard(report(HONEST, f"tcp://10.6.6.6:{port}", "elsewhere"))
    post = Liar()
    asyncio.run(rounds.deliver(cast("SchedulerClient", post)))
    assert envelope.parse(post.delivered["tcp://10.0.0.1:1"]).header.audience == "lab"


@pytest.mark.parametrize("kem", ["x25519", "x-wing"])
def test_a_key_that_nothing_can_be_sealed_to_is_rubbish(kem: str) -> None:
    raw = bytes(32) if kem == "x25519" else HONEST.raw[:-32] + bytes(32)
    line = f"credagent-recipient:{kem}:{base64url.encode(raw)}"
    assert parse({"credagent": 1, "public_key": line}, "tcp://evil:1") is None
    with pytest.raises(ConfigurationError):
        RecipientPublicKey.parse(line)


def test_a_machine_that_changes_its_audience_while_its_letter_is_sealed_gets_none_of_it(
    rounds: MachineReconciler,
) -> None:
    async def flips() -> Post:
        post, others = Post(), count()
        seal = rounds._seal

        async def sealed(*given: Any) -> None:
            await seal(*given)
            rounds.heard(report(HOSTILE, "tcp://evil:1", f"another-{next(others)}"))

        rounds._seal = sealed  # type: ignore[assignment, method-assign]
        await rounds.answer_mail(cast("SchedulerClient", post), report(HOSTILE, "tcp://evil:1", nonce="n"))
        rounds.heard(report(HONEST, "tcp://good:1"))
        await rounds.deliver(cast("SchedulerClient", post))
        return post

    post = asyncio.run(flips())
    assert set(post.delivered) == {"tcp://good:1"}
    assert [set(content) for content in post.mailed] == [{"why"}]


class Flood:
    """Announces in the name of thousands of machines that never were; the scheduler lists one honest worker."""

    def __init__(self, plan: ForwardingPlan, **more: object) -> None:
        self.engine = ForwarderLoop(plan, UserNotices(lambda _text: None), SystemClock())
        self.engine.rounds.publish(
            BundleRevision(
                plan.options, LocalIdentity(), key=SENDER, pinned=(), environ=plan.environ, now=datetime.now(UTC)
            )
        )
        self.engine.rounds.announcements.take_list({"tcp://good:1"}, 0.0)
        self.hearing = EventListener(
            self.engine.rounds, SystemClock(), wake=asyncio.Event(), meet=lambda _message: None
        )
        self._more = more

    async def events(self, names: int, times: int = 1) -> AsyncIterator[tuple[str, Any]]:
        line = HOSTILE.line
        for number in range(names):
            for again in range(times):
                said = {"credagent": 1, "address": f"tcp://evil:{number}", "public_key": line, "host": f"{again}"}
                yield TOPIC, {**said, **self._more}


def test_machines_that_the_scheduler_does_not_list_are_not_believed_but_looked_for(plan: ForwardingPlan) -> None:
    flood = Flood(plan)
    asyncio.run(flood.hearing.listen(flood.events(1_000)))
    assert flood.engine.rounds.roster.machines == {}
    assert flood.hearing.doubts
    assert flood.hearing.take_doubts() == frozenset()  # nobody's address is kept
    assert not flood.hearing.doubts


def test_a_listed_worker_is_believed_at_once_and_later_words_in_its_name_are_asked_for(plan: ForwardingPlan) -> None:
    flood = Flood(plan)
    rounds, good = flood.engine.rounds, "tcp://good:1"
    assert rounds.announced(report(HONEST, good)) is AnnouncementVerdict.NEWS
    assert rounds.announced(report(HONEST, good)) is AnnouncementVerdict.NOTHING
    forged = [
        report(HOSTILE, good),
        report(HONEST, good, "other"),
        AgentReport(address=good, host="x", fault="no-agent"),
    ]
    for said in forged:
        assert rounds.announced(said) is AnnouncementVerdict.DOUBT
    (machine,) = rounds.roster.machines.values()
    assert (machine.key, machine.audience, machine.addresses) == (HONEST, "lab", {good})


def test_more_mail_than_can_be_answered_is_dropped(plan: ForwardingPlan) -> None:
    flood = Flood(plan, fault="no-agent", nonce="n")
    asyncio.run(flood.hearing.listen(flood.events(LETTERS // 2, 1 + LETTERS_IN_ONE_NAME)))
    assert flood.hearing._mail.qsize() == LETTERS


def test_mail_for_whom_the_scheduler_does_not_list_is_not_answered_and_asked_for_once(plan: ForwardingPlan) -> None:
    async def story() -> tuple[Post, int]:
        flood, post = Flood(plan, nonce="n"), Post()
        await flood.hearing.listen(flood.events(1_000))
        asked = 0

        async def addresses() -> set[str]:
            nonlocal asked
            asked += 1
            return {"tcp://good:1", "tcp://late:1"}

        post.addresses = addresses  # type: ignore[attr-defined]

        async def events() -> AsyncIterator[tuple[str, Any]]:
            yield TOPIC, {"credagent": 1, "address": "tcp://late:1", "public_key": HONEST.line, "nonce": "late"}

        await flood.hearing.listen(events())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flood.hearing.answer_mail(cast("SchedulerClient", post)), 2)
        return post, asked

    post, asked = asyncio.run(story())
    assert [set(content) for content in post.mailed] == [{"bundle", "slots"}]
    assert asked == 1


def test_who_starts_is_not_taken_for_another_machine_than_is_known(rounds: MachineReconciler) -> None:
    rounds.heard(report(HONEST, "tcp://good:1"))
    post = Post()
    asyncio.run(rounds.answer_mail(cast("SchedulerClient", post), report(HOSTILE, "tcp://good:1", nonce="n")))
    assert [set(content) for content in post.mailed] == [{"why"}]
    assert [machine.key for machine in rounds.roster.machines.values()] == [HONEST]


def test_an_outcome_that_nobody_waited_for_is_nothing(rounds: MachineReconciler) -> None:
    rounds.heard(report(HONEST, "tcp://good:1"))
    rounds.edition.seal_for(rounds.roster.machines.values())
    (bundle_id,) = rounds.edition.bundle_ids
    forged = AgentReport(
        address="tcp://good:1", host="x", key=HONEST, nonce="n", outcome="admitted", bundle_id=bundle_id, audience="lab"
    )
    rounds.took_mail(forged)
    assert [machine.state for machine in rounds.roster.machines.values()] == [WAITING]


def test_addresses_that_would_write_to_the_terminal_are_no_addresses() -> None:
    async def asked() -> set[str]:
        courier = SchedulerClient(PLACE, "me")

        async def answer(*_: object, **__: object) -> dict[object, int]:
            return {"tcp://10.0.0.1:1": 1, "tcp://\x1b[2J": 1, "tcp://\x9b2J": 1, "x" * 600: 1, 7: 1}

        courier.ask = answer  # type: ignore[method-assign]
        return await courier.addresses()

    assert asyncio.run(asked()) == {"tcp://10.0.0.1:1"}


def test_what_was_believed_over_tls_is_not_sent_without_it() -> None:
    key_trust.demand_still(key_trust.TrustBasis.ANY, PLACE.scheme)
    with pytest.raises(UsageError):
        key_trust.demand_still(key_trust.TrustBasis.TLS, PLACE.scheme)
