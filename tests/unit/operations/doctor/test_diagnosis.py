"""Each fault, planted alone on a sound node, is one finding: its cause, and what to type. Sound nodes have none."""

import re
import sys

import pytest
from msgspec import structs

from credagent.operations.doctor.diagnosis import diagnose, notes
from credagent.operations.doctor.facts import DaskProcess
from credagent.operations.doctor.findings import ECHOES, ECHOES_OF_THE_SUBJECT, healthy
from credagent.operations.observability.process_identity import ProcessFacts
from tests.unit.operations.doctor.faults import FAULTS, Fault, refused
from tests.unit.operations.doctor.nodes import SOUND, changed

TYPED = re.compile(r"`[^`]{4,}`")


@pytest.mark.parametrize("node", SOUND)
def test_a_sound_node_is_silent(node: str) -> None:
    assert diagnose(SOUND[node]) == []
    assert len(list(notes(SOUND[node]))) >= 6


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_is_one_finding_with_its_cause_and_what_to_type(fault: Fault) -> None:
    found = diagnose(fault.plant(SOUND[fault.node]))
    assert [(one.code, one.level) for one in found] == [(fault.code, fault.level)]
    (one,) = found
    assert fault.says in one.found
    assert fault.type in one.remedy
    assert TYPED.search(one.remedy), one.remedy
    assert one.why
    assert healthy(found) is (fault.level == "warning")


def test_the_table_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """Shown by `pytest -s`, or without capturing, for whoever wants to read all of them."""
    lines = [f"{name + ' (sound)':<40}{len(diagnose(node))} findings" for name, node in SOUND.items()]
    for fault in FAULTS:
        found = diagnose(fault.plant(SOUND[fault.node]))
        lines += [f"{fault.name:<40}{one.code:<26}{one.found}\n{'':<40}→ {one.remedy}" for one in found]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert len(lines) == len(SOUND) + len(FAULTS)


def test_two_faults_are_two_findings_the_graver_first() -> None:
    by_name = {fault.name: fault for fault in FAULTS}
    both = by_name["AWS_SECURITY_TOKEN"].plant(by_name["unit not enabled"].plant(SOUND["environment"]))
    assert [one.code for one in diagnose(both)] == ["variable-shadows", "unit-not-enabled"]


def test_a_refusal_before_the_bundle_in_force_was_made_is_history() -> None:
    status = SOUND["environment"].status
    assert status is not None
    old = {"code": "untrusted-sender", "at": "2026-12-01T01:00:00Z", "channel": "socket", "message": "", "hint": ""}
    assert diagnose(changed(SOUND["environment"], bundle={**status["bundle"], "refused": [old]})) == []


def test_a_worker_that_starts_may_have_come_to_no_preload_yet() -> None:
    (started, starting) = (
        DaskProcess(pid=pid, uid=1001, role="worker", age_s=age) for pid, age in ((815, 60), (816, 2))
    )
    found = diagnose(structs.replace(SOUND["environment"], dask=(started, starting)))
    assert [(one.code, one.subject) for one in found] == [("worker-without-preload", "815")]


def test_sixty_four_processes_with_one_fault_are_one_finding() -> None:
    sound = SOUND["environment"]
    crowd = tuple(DaskProcess(pid=pid, uid=1001, role="worker", age_s=60, state="S") for pid in range(900, 964))
    (unsupplied,) = diagnose(structs.replace(sound, dask=crowd))
    assert unsupplied.found == "64 workers (pid 900, 901, 902, …) take nothing from the agent"
    supplied = tuple(
        structs.replace(sound.workers[0], process=ProcessFacts(pid=one.pid, generation=3)) for one in crowd
    )
    (behind,) = diagnose(structs.replace(sound, dask=crowd, workers=supplied))
    assert behind.found == "64 workers (pid 900, 901, 902, …) are at generation 3, the agent at 4"
    halted = tuple(structs.replace(one, state="T") for one in crowd[:2])
    (stopped,) = diagnose(structs.replace(sound, dask=halted))
    assert (stopped.found, stopped.remedy) == ("workers 900, 901 are stopped by a signal", "`kill -CONT 900 901`")


def test_an_old_copy_of_a_bundle_is_no_fault() -> None:
    replayed = refused("replayed")(SOUND["environment"])
    assert diagnose(replayed) == []


def test_what_follows_from_another_finding_is_named_by_a_code_that_some_check_yields() -> None:
    codes = {fault.code for fault in FAULTS}
    assert (ECHOES.keys() | ECHOES_OF_THE_SUBJECT.keys()) <= codes
