"""What each machine of a cluster answers, judged from its sender's side: one finding for all that have a fault."""

import pytest

from credagent.operations.doctor.cluster_checks import ProcessAnswer, diagnose, notes

ME = "5f1c"
SCHEDULER = "tls://10.0.0.1:8786"


def answer(number: int, **more: object) -> ProcessAnswer:
    sound: dict[str, object] = {"state": "ready", "sender": ME, "bundle_id": "b-17"}
    place = {"address": f"tls://10.0.0.{number}:4000", "host": f"node-{number}"}
    return ProcessAnswer(**{**sound, **place, **more})  # type: ignore[arg-type]  # fields of several types


def nothing(number: int, fault: str, hint: str = "") -> ProcessAnswer:
    return answer(number, state="", sender="", bundle_id="", fault=fault, hint=hint)


TROUBLED = answer(3, state="degraded", trouble=("reload-failed", "aws: expired"))
SOUND = [answer(1), answer(2, trouble=("google: no-identity",)), nothing(9, "own-process")]


def test_a_sound_cluster_is_silent() -> None:
    assert diagnose(SOUND, SCHEDULER, ME) == []
    assert [note.check for note in notes(SOUND)] == ["node-1", "node-2", "node-9"]


@pytest.mark.parametrize(
    ("planted", "code", "says", "typed"),
    [
        (nothing(3, "silent"), "silent", "tls://10.0.0.3:4000", "`credagent doctor`"),
        (nothing(3, "no-plugin"), "no-plugin", "tls://10.0.0.3:4000", f"`credagent forward --scheduler {SCHEDULER}`"),
        (nothing(3, "no-agent"), "no-agent", "node-3", "`systemctl enable --now credagent`"),
        (nothing(3, "not-allowed", "`usermod -aG dask ana`"), "not-allowed", "node-3", "`usermod -aG dask ana`"),
        (TROUBLED, "agent-troubled", "aws: expired", "`ssh node-3 credagent doctor`"),
        (answer(3, bundle_id="", sender=""), "no-bundle", "node-3", "`credagent forward"),
        (answer(3, sender="ffff"), "another-sender", "node-3", "`credagent forward"),
        (answer(3, forwarder_ended="stopped"), "forwarder-ended", "node-3", "`credagent forward"),
    ],
)
def test_a_fault_on_one_machine_is_one_finding(planted: ProcessAnswer, code: str, says: str, typed: str) -> None:
    (found,) = diagnose([*SOUND, planted], SCHEDULER, ME)
    assert found.code == code
    assert says in found.found
    assert typed in found.remedy
    assert found.why


def test_the_same_on_many_machines_is_said_once() -> None:
    (found,) = diagnose([nothing(number, "no-agent") for number in range(10, 30)], SCHEDULER)
    assert found.found == "no agent answers on node-10, node-11, node-12, node-13, node-14 and 15 more"
