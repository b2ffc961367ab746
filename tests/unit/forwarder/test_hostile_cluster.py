"""One hostile worker, task or answer keeps no credentials from the others and is sealed nothing of them."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.bundle import base64url, envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.dask_cluster import answer_limits
from credagent.dask_cluster.agent_report import parse
from credagent.errors import ConfigurationError, UsageError
from credagent.forwarder import key_trust, loop, machine_reconciler, waiting_workers
from credagent.forwarder.key_trust import TrustBasis
from credagent.forwarder.known_machines import MachineState
from credagent.forwarder.waiting_workers import MOST_KEYS
from tests.patience import scaled
from tests.unit.forwarder import fake_cluster
from tests.unit.forwarder.fake_cluster import FakeCluster, FakeMachine, Large, Lost

GOOD, EVIL, LATE = "tcp://10.0.0.1:1", "tcp://10.6.6.6:1", "tcp://10.0.0.2:1"
MEMORY_BYTES = 100_000_000


@pytest.fixture(autouse=True)
def quick_to_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "WOKEN_S", 0.05)
    monkeypatch.setattr(waiting_workers, "LIST_S", 0.01)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(scaled(30)):
        while not condition():  # noqa: ASYNC110  what is waited for is in objects that tell nobody
            await asyncio.sleep(0.01)


def story(run: Callable[[FakeCluster], Awaitable[None]], machines: dict[str, FakeMachine]) -> None:
    async def play() -> None:
        async with FakeCluster(machines).running() as cluster:
            await run(cluster)

    asyncio.run(play())


@pytest.mark.parametrize("audience", ["x" * 256, "\u20ac" * 100])
def test_an_audience_that_no_bundle_can_have_costs_only_the_machine_that_names_it(
    tmp_path: Path, audience: str
) -> None:
    evil, good = FakeMachine(audience=audience), FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path):
            assert good.opened().audience == "lab"
            assert evil.texts == []

    story(run, {EVIL: evil, GOOD: good})


def test_whoever_claims_the_key_of_another_machine_neither_answers_for_it_nor_names_its_audience(
    tmp_path: Path,
) -> None:
    good = FakeMachine()
    liar = FakeMachine(key=good.key, audience="elsewhere", claims_once_delivered={"outcome": "admitted"})
    liars = {f"tcp://10.6.6.6:{port}": liar for port in range(20)}

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path):
            assert good.opened().audience == "lab"

    story(run, {**liars, GOOD: good})


def test_a_late_worker_that_claims_an_honest_key_and_then_answers_with_its_own_is_sealed_nothing(
    tmp_path: Path,
) -> None:
    """The theft: under first use the claim is believed, its envelope cannot be opened, and the answer names a key."""
    good, thief = FakeMachine(), FakeMachine()
    thief.claims = {"public_key": good.key.public_key.line}
    thief.claims_once_delivered = {"public_key": thief.key.public_key.line, "outcome": "not-for-this-machine"}

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path, trust="first-use") as forwarder:
            cluster.machines[EVIL] = thief
            await cluster.tell({})
            await until(lambda: thief.texts)
            thief.claims = {}
            forwarder._revise(forwarder.revision.identity)
            await until(lambda: len(good.texts) > 1)
            await cluster.tell({})
            await until(lambda: MachineState.DISTRUSTED in states(forwarder))

    story(run, {GOOD: good})
    assert recipients(thief.texts) == {good.key.recipient_id}


def states(forwarder: loop.ForwarderLoop) -> set[MachineState]:
    return {machine.state for machine in forwarder.reconciler.machines.machines.values()}


def recipients(texts: list[str]) -> set[bytes]:
    return {stanza.recipient_id for text in texts for stanza in envelope.parse(text).stanzas}


def test_a_machine_that_answers_a_delivery_with_another_audience_than_the_one_that_was_named_gets_no_more(
    tmp_path: Path,
) -> None:
    shared = RecipientPrivateKey.generate()
    evil = FakeMachine(claims_once_delivered={"audience": "elsewhere", "outcome": "too-old"})

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path, trust=None, pinned=(shared.public_key,)) as forwarder:
            assert {envelope.parse(text).header.audience for text in evil.texts} == {"lab"}
            assert states(forwarder) == {MachineState.DISTRUSTED}

    story(run, {EVIL: evil})


def test_machines_that_are_not_trusted_have_no_vote(tmp_path: Path) -> None:
    """Five machines whose keys are refused say that they follow somebody else."""
    good = FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path, trust="first-use") as forwarder:
            other = {"forwarder": "credagent-forward-other", "forwarder_sender": forwarder.own.sender}
            for number in range(5):
                cluster.machines[f"tcp://10.6.6.{number}:1"] = FakeMachine(sender="ab" * 16, claims=dict(other))
            await cluster.tell({})
            await until(lambda: len(forwarder.reconciler.machines.machines) == 6)
            await cluster.tell({})
            good.sender = ""  # an agent that has lost what it had gets it again: forwarding goes on
            good.delivered.clear()
            await until(good.delivered.is_set)
            assert forwarder.state == "forwarding"

    story(run, {GOOD: good})


@pytest.mark.parametrize("kem", ["x25519", "x-wing"])
def test_a_key_that_nothing_can_be_sealed_to_is_rubbish(kem: str) -> None:
    honest = RecipientPrivateKey.generate().public_key
    raw = bytes(32) if kem == "x25519" else honest.raw[:-32] + bytes(32)
    line = f"credagent-recipient:{kem}:{base64url.encode(raw)}"
    assert parse({"credagent": 1, "public_key": line}, EVIL) is None
    with pytest.raises(ConfigurationError):
        RecipientPublicKey.parse(line)


def drops_once() -> Callable[[str], Any]:
    lost: list[Any] = [Lost()]
    return lambda _operation: lost.pop() if lost else None


@pytest.mark.parametrize(
    "answers",
    [
        drops_once(),
        lambda _operation: b"\xc1",
        lambda _operation: fake_cluster.millions_of_lists(),
        lambda _operation: Large(piece=bytes(1024 * 1024), times=72),
        lambda _operation: {"credagent": 1, "public_key": ["x"], "host": 7},
        lambda _operation: {"credagent": 1, "host": {"x": "y" * 1_000_000}},
        lambda _operation: asyncio.Event(),
    ],
    ids=["drops one question", "not msgpack", "millions of lists", "72 MB", "rubbish", "1 MB of text", "silence"],
)
def test_what_one_machine_answers_costs_that_machine_alone(
    tmp_path: Path, answers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_limits, "REPORT", replace(answer_limits.REPORT, deadline_s=scaled(5)))
    good = {f"tcp://10.0.0.{number}:1": FakeMachine() for number in range(3)}

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path):
            for machine in good.values():
                assert machine.opened().audience == "lab"

    tracemalloc.start()
    try:
        story(run, {EVIL: FakeMachine(answers=answers), **good})
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


def test_a_machine_that_hangs_while_it_is_delivered_to_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_reconciler, "STALLED_S", scaled(1))
    good = {f"tcp://10.0.0.{number}:1": FakeMachine() for number in range(3)}
    hangs = FakeMachine(answers=lambda operation: asyncio.Event() if operation == "credagent-deliver" else None)

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            assert states(forwarder) == {MachineState.ADMITTED, MachineState.SILENT}
            for machine in good.values():
                assert machine.opened().audience == "lab"

    story(run, {EVIL: hangs, **good})


@pytest.mark.parametrize(
    "event",
    [
        b"\xc1",
        b"\x91\x82\xa2op\xa5event\xa5topic\xc1",
        fake_cluster.millions_of_lists(),
        Large(piece=bytes(1024 * 1024), times=72),
    ],
    ids=["not msgpack", "cut short", "millions of lists", "72 MB"],
)
def test_no_event_ends_the_connection_by_which_it_came(tmp_path: Path, event: "bytes | Large") -> None:
    good, late = FakeMachine(), FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            await cluster.tell(raw=event)
            cluster.machines[LATE] = late
            await cluster.tell({})
            await until(late.delivered.is_set)
            assert forwarder.state == "forwarding"
            assert cluster.questions.count("register-client") == 1

    tracemalloc.start()
    try:
        story(run, {GOOD: good})
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


def test_a_list_of_workers_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    good = FakeMachine()
    lists = [b"\xc1", fake_cluster.millions_of_lists(), {GOOD: 1}]

    async def run(cluster: FakeCluster) -> None:
        cluster.lists = lambda: lists.pop(0) if len(lists) > 1 else lists[0]
        async with cluster.forwarded(tmp_path):
            assert good.opened().audience == "lab"

    story(run, {GOOD: good})


def request(machine: FakeMachine, address: str, nonce: str, **more: object) -> dict[str, object]:
    return {**machine.report(), "address": address, "nonce": nonce, **more}


def test_a_worker_that_waits_gets_a_bundle_and_is_known_only_when_it_was_asked(tmp_path: Path) -> None:
    late = FakeMachine()
    late.answers = lambda _operation: asyncio.Event()  # nothing reaches a worker that starts

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            cluster.machines[LATE] = late
            await cluster.tell(request(late, LATE, "n"))
            await until(lambda: "n" in cluster.mail)
            (mail,) = cluster.mail["n"]
            late.deliver(mail["bundle"])
            assert late.opened().audience == "lab"
            assert mail["slots"] == ["environment"]
            assert late.key.public_key.line not in str(forwarder.reconciler.machines.machines)

    story(run, {})


def test_what_a_waiting_worker_was_given_is_confirmed_without_a_delivery(tmp_path: Path) -> None:
    late = FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            cluster.lists = lambda: {LATE: 1}
            await cluster.tell(request(late, LATE, "n"))
            await until(lambda: "n" in cluster.mail)
            late.deliver(cluster.mail["n"][0]["bundle"])
            cluster.machines[LATE] = late
            await cluster.tell({})
            await until(lambda: states(forwarder) == {MachineState.ADMITTED})
            assert len(late.texts) == 1

    story(run, {})


def test_announced_machines_that_the_scheduler_does_not_list_are_sealed_nothing(tmp_path: Path) -> None:
    good, late = FakeMachine(), FakeMachine()
    thief = FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            invented = [request(thief, f"tcp://10.9.8.7:{number}", f"t{number}") for number in range(5_000)]
            await cluster.tell(*invented[:2_500])
            await cluster.tell(*invented[2_500:])
            cluster.machines[LATE] = late
            await cluster.tell(request(late, LATE, "late"))
            await until(lambda: "late" in cluster.mail)
            assert set(cluster.mail) == {"late"}
            assert len(forwarder.reconciler.machines.machines) <= 2

    story(run, {GOOD: good})


def has_mail(cluster: FakeCluster, mailbox: str) -> bool:
    return mailbox in cluster.mail


def test_an_address_that_announces_one_key_after_the_other_is_sealed_for_a_few_of_them(tmp_path: Path) -> None:
    """Each text is kept until the next revision, which may be an hour away."""
    good = FakeMachine()
    keys = [FakeMachine() for _ in range(MOST_KEYS + 2)]

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            for number, machine in enumerate([*keys, keys[0]]):
                await cluster.tell(request(machine, GOOD, f"n{number}"))
                await until(partial(has_mail, cluster, f"n{number}"))
            answers = [cluster.mail[f"n{number}"][0] for number in range(len(keys) + 1)]
            served = ["bundle" in answer for answer in answers]
            assert served == [True] * MOST_KEYS + [False, False, True]
            assert "too-many-keys" in answers[MOST_KEYS]["why"]
            assert forwarder.reconciler.revision.sealed_texts == MOST_KEYS + 1

    story(run, {GOOD: good})


def test_under_first_use_a_late_worker_is_told_why_it_gets_nothing(tmp_path: Path) -> None:
    late = FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path, trust="first-use"):
            cluster.machines[LATE] = late
            await cluster.tell(request(late, LATE, "n"))
            await until(lambda: "n" in cluster.mail)
            assert "joined-later" in cluster.mail["n"][0]["why"]

    story(run, {GOOD: FakeMachine()})


def test_an_announcement_in_anothers_name_changes_nothing_that_is_known(tmp_path: Path) -> None:
    good, thief = FakeMachine(), FakeMachine()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            before = dict(forwarder.reconciler.machines.machines)
            await cluster.tell(request(thief, GOOD, "n", outcome="admitted", audience="elsewhere"))
            await until(lambda: "n" in cluster.mail)
            (now,) = forwarder.reconciler.machines.machines.values()
            assert {now.id: now.verdict} == {name: machine.verdict for name, machine in before.items()}

    story(run, {GOOD: good})


def test_an_agent_that_calls_its_bundle_too_old_gets_a_new_one_and_the_others_keep_theirs(tmp_path: Path) -> None:
    good, strict = FakeMachine(), FakeMachine(refuses="too-old")

    def accepts(_operation: str) -> None:
        strict.refuses = "" if len(strict.texts) == 1 else strict.refuses

    strict.answers = accepts

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path) as forwarder:
            assert states(forwarder) == {MachineState.ADMITTED}

    story(run, {GOOD: good, LATE: strict})
    assert (len(good.texts), len(strict.texts)) == (1, 2)


def test_a_connection_that_is_lost_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RECONNECT_S", 0.01)
    good, late, said = FakeMachine(), FakeMachine(), list[str]()

    async def run(cluster: FakeCluster) -> None:
        async with cluster.forwarded(tmp_path, said) as forwarder:
            cluster.machines[LATE] = late
            cluster.drop_listeners()
            await until(late.delivered.is_set)
            assert forwarder.state == "forwarding"
            # What Python 3.11.2 would take for a cancellation at the next time-out: see `task_groups`.
            assert all(task.cancelling() == 0 for task in asyncio.all_tasks())

    story(run, {GOOD: good})
    assert [text.partition(" ")[0] for text in said if "connect" in text or "interrupted" in text] == [
        "interrupted",
        "connected",
    ]


def test_addresses_that_would_write_to_the_terminal_are_no_addresses(tmp_path: Path) -> None:
    async def run(cluster: FakeCluster) -> None:
        cluster.lists = lambda: {GOOD: 1, "tcp://\x1b[2J": 1, "tcp://\x9b2J": 1, "x" * 600: 1}
        async with cluster.forwarded(tmp_path) as forwarder:
            assert len(forwarder.reconciler.machines.machines) == 1

    story(run, {GOOD: FakeMachine()})


def test_what_was_believed_over_tls_is_not_sent_without_it() -> None:
    key_trust.demand_still(TrustBasis.ANY, "tcp")
    with pytest.raises(UsageError):
        key_trust.demand_still(TrustBasis.TLS, "tcp")
