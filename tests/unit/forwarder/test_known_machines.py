"""A machine is its key; processes come and go; one function says what a report makes of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.bundle import envelope
from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.forwarder.bundle_revision import BundleRevision
from credagent.forwarder.key_trust import Distrusted, TrustedRecipient
from credagent.forwarder.known_machines import KnownMachines, Machine, MachineState, after
from tests.unit.forwarder.fake_cluster import SENDER, FakeCluster, reconciler

ONE, TWO = (RecipientPrivateKey.generate().public_key for _ in range(2))
NOW = datetime.now(UTC)


@pytest.fixture
def revision(tmp_path: Path) -> BundleRevision:
    return reconciler(FakeCluster({}).plan(tmp_path)).revision


def report(address: str, key: RecipientPublicKey | None, fault: str = "", **more: Any) -> AgentReport:
    return AgentReport(address=address, host="h", key=key, fault=fault, **more)


class Known(KnownMachines):
    """Known machines of whom each is trusted."""

    def __init__(self, revision: BundleRevision) -> None:
        super().__init__()
        self._revision = revision

    def note(self, found: AgentReport) -> Machine | None:
        return self.take(found, TrustedRecipient(found.key, "lab"), self._revision, NOW)


def test_eight_workers_on_one_machine_are_one_recipient(revision: BundleRevision) -> None:
    known = Known(revision)
    for number in range(8):
        known.note(report(f"tcp://w:{number}", ONE))
    (machine,) = known.machines.values()
    assert known.addresses(machine) == {f"tcp://w:{number}" for number in range(8)}


def test_a_worker_whose_machine_has_another_key_now_speaks_for_the_other(revision: BundleRevision) -> None:
    known = Known(revision)
    known.note(report("w", ONE))
    known.note(report("w", TWO))
    known.keep_only(frozenset({"w"}))
    assert [machine.report.key for machine in known.machines.values()] == [TWO]


def test_who_is_gone_is_forgotten(revision: BundleRevision) -> None:
    known = Known(revision)
    known.note(report("a", ONE))
    known.note(report("b", None, "no-agent"))
    assert known.unknown(frozenset({"a", "b", "c"})) == {"c"}
    known.keep_only(frozenset({"c"}))
    assert (known.machines, known.faults) == ({}, {})


def test_an_agent_that_came_up_is_no_fault_any_more(revision: BundleRevision) -> None:
    known = Known(revision)
    assert known.note(report("a", None, "no-agent")) is None
    known.note(report("a", ONE))
    assert not known.faults


def test_behind_is_who_is_trusted_and_has_not_confirmed(revision: BundleRevision) -> None:
    known = Known(revision)
    one, two = known.note(report("a", ONE)), known.note(report("b", TWO))
    assert one is not None
    assert two is not None
    assert known.behind(1, again=True) == [one, two]
    one = known.put(replace(one, confirmed=1))
    known.put(replace(two, verdict=Distrusted("x", "y")))
    assert known.behind(1, again=True) == []
    assert known.behind(2, again=True) == [one]


def test_who_refused_a_revision_gets_it_again_only_when_asked_around(revision: BundleRevision) -> None:
    known = Known(revision)
    machine = known.note(report("a", ONE))
    assert machine is not None
    machine = known.put(machine.sent(revision))
    assert known.behind(1, again=False) == []
    assert known.behind(1, again=True) == [machine]
    assert known.behind(2, again=False) == [machine]


def test_a_key_that_another_host_claims_is_another_machine_and_one_to_people(revision: BundleRevision) -> None:
    known = Known(revision)
    for address in ("tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.9:1"):
        known.note(report(address, ONE))
    assert [sorted(known.addresses(machine)) for machine in known.machines.values()] == [
        ["tcp://10.0.0.1:1", "tcp://10.0.0.1:2"],
        ["tcp://10.0.0.9:1"],
    ]
    assert len(known.shown()) == 1


TRUSTED = TrustedRecipient(ONE, "lab")
OTHER = "ab" * 16


def machine_after(revision: BundleRevision, *reports: AgentReport) -> Machine:
    machine: Machine | None = None
    for found in reports:
        machine = after(machine, found, TRUSTED, revision, NOW)
    assert machine is not None
    return machine


def test_a_machine_confirms_what_it_takes_and_keeps_waiting_for_what_it_refuses(revision: BundleRevision) -> None:
    taken = machine_after(revision, report("a", ONE, outcome="admitted"))
    assert (taken.state, taken.confirmed, taken.confirmed_at) == (MachineState.ADMITTED, 1, NOW)
    refused = machine_after(revision, report("a", ONE, outcome="untrusted-sender", hint="add it"))
    assert (refused.state, refused.code, refused.hint, refused.confirmed) == (
        MachineState.REFUSED,
        "untrusted-sender",
        "add it",
        0,
    )


def test_a_bundle_of_this_revision_that_is_in_force_confirms_it(revision: BundleRevision) -> None:
    revision.seal_for([TRUSTED])
    bundle_id = envelope.parse(revision.text_for(TRUSTED)).header.bundle_id
    assert machine_after(revision, report("a", ONE, sender=SENDER.key_id, bundle_id=bundle_id)).confirmed == 1
    assert machine_after(revision, report("a", ONE, sender=OTHER, bundle_id=bundle_id)).confirmed == 0
    assert machine_after(revision, report("a", ONE, sender=SENDER.key_id, bundle_id="x")).confirmed == 0


def test_an_agent_that_has_forgotten_or_follows_somebody_else_is_behind_again(revision: BundleRevision) -> None:
    taken = report("a", ONE, outcome="admitted")
    forgotten = machine_after(revision, taken, report("a", ONE))
    assert (forgotten.state, forgotten.confirmed, forgotten.replaced_by) == (MachineState.WAITING, 0, "")
    replaced = machine_after(revision, taken, report("a", ONE, sender=OTHER))
    assert (replaced.confirmed, replaced.replaced_by) == (0, OTHER)
    assert machine_after(revision, taken, report("a", ONE, sender=OTHER), taken).replaced_by == ""


def test_a_later_bundle_of_the_same_key_is_left_in_force(revision: BundleRevision) -> None:
    taken = report("a", ONE, outcome="admitted")
    assert machine_after(revision, taken, report("a", ONE, sender=SENDER.key_id, bundle_id="x")).confirmed == 1


def test_a_machine_that_is_not_trusted_any_more_has_confirmed_nothing(revision: BundleRevision) -> None:
    taken = machine_after(revision, report("a", ONE, outcome="admitted"))
    distrusted = after(taken, report("a", ONE, outcome="admitted"), Distrusted("c", "why"), revision, NOW)
    assert (distrusted.state, distrusted.code, distrusted.trusted, distrusted.confirmed) == (
        MachineState.DISTRUSTED,
        "c",
        None,
        0,
    )
    assert after(distrusted, report("a", ONE), TRUSTED, revision, NOW).state is MachineState.WAITING
