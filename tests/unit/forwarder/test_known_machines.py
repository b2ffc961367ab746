"""A machine is its key; processes come and go."""

from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.forwarder.known_machines import DISTRUSTED, KnownMachines

ONE, TWO = (RecipientPrivateKey.generate().public_key for _ in range(2))


def report(address: str, key: RecipientPublicKey | None, fault: str = "") -> AgentReport:
    return AgentReport(address=address, host="h", key=key, fault=fault)


def test_eight_workers_on_one_machine_are_one_recipient() -> None:
    roster = KnownMachines()
    machines = {id(roster.note(report(f"tcp://w:{number}", ONE))) for number in range(8)}
    assert len(machines) == len(roster.machines) == 1
    assert next(iter(roster.machines.values())).addresses == {f"tcp://w:{number}" for number in range(8)}


def test_a_worker_whose_machine_has_another_key_now_speaks_for_the_other() -> None:
    roster = KnownMachines()
    roster.note(report("w", ONE))
    roster.note(report("w", TWO))
    roster.keep_only({"w"})
    assert [machine.key for machine in roster.machines.values()] == [TWO]


def test_who_is_gone_is_forgotten() -> None:
    roster = KnownMachines()
    roster.note(report("a", ONE))
    roster.note(report("b", None, "no-agent"))
    assert roster.unknown({"a", "b", "c"}) == {"c"}
    roster.keep_only({"c"})
    assert (roster.machines, roster.faults) == ({}, {})


def test_an_agent_that_came_up_is_no_fault_any_more() -> None:
    roster = KnownMachines()
    assert roster.note(report("a", None, "no-agent")) is None
    roster.note(report("a", ONE))
    assert not roster.faults


def test_behind_is_who_is_trusted_and_has_not_confirmed() -> None:
    roster = KnownMachines()
    one, two = roster.note(report("a", ONE)), roster.note(report("b", TWO))
    assert one is not None
    assert two is not None
    assert roster.behind(1) == [one, two]
    one.edition, two.state = 1, DISTRUSTED
    assert roster.behind(1) == []
    assert roster.behind(2) == [one]


def test_who_refused_an_edition_gets_it_again_only_when_asked_around() -> None:
    roster = KnownMachines()
    machine = roster.note(report("a", ONE))
    assert machine is not None
    machine.tried = 1
    assert roster.behind(1, again=False) == []
    assert roster.behind(1) == [machine]
    assert roster.behind(2, again=False) == [machine]


def test_machines_follow_whom_most_of_them_have_in_force() -> None:
    roster = KnownMachines()
    assert not roster.follows("him")
    for number, sender in enumerate(("him", "me", "")):
        key = RecipientPrivateKey.generate().public_key
        roster.note(AgentReport(address=f"w{number}", host="h", key=key, sender=sender))
    assert not roster.follows("him")
    roster.note(AgentReport(address="w2", host="h", key=TWO, sender="him"))
    assert roster.follows("him")


def test_a_key_that_another_host_claims_is_another_machine_and_one_to_people() -> None:
    roster = KnownMachines()
    for address in ("tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.9:1"):
        roster.note(report(address, ONE))
    assert [sorted(machine.addresses) for machine in roster.machines.values()] == [
        ["tcp://10.0.0.1:1", "tcp://10.0.0.1:2"],
        ["tcp://10.0.0.9:1"],
    ]
    assert len(roster.shown()) == 1
