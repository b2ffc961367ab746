"""Bundles that are pushed to a running agent's socket: each is answered, counted, and changes all or nothing."""

import os

from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine, write
from tests.integration.letters import letter

__all__ = ["machine"]


def test_a_pushed_bundle_is_admitted_and_pushed_again_is_unchanged(machine: Machine) -> None:
    machine.start()
    made = letter()
    sealed = machine.sealed(made)
    answer = machine.ask("deliver", bundle=sealed)
    assert (answer["ok"], answer["outcome"], answer["bundle_id"]) == (True, "admitted", made.bundle_id)
    generation = machine.ask("set")["generation"]
    assert machine.ask("deliver", bundle=sealed)["outcome"] == "unchanged"
    assert machine.ask("set")["generation"] == generation
    assert machine.value() == CANARY
    assert machine.status()["bundle"]["channel"] == "socket"


def test_what_is_pushed_and_refused_is_answered_and_changes_nothing(machine: Machine) -> None:
    machine.start()
    present = machine.sealed(letter())
    machine.ask("deliver", bundle=present)
    before = machine.ask("set")
    another = RecipientPrivateKey.generate()
    refused = {
        machine.sealed(letter(later_s=1), sender=SenderPrivateKey.generate()): "untrusted-sender",
        machine.sealed(letter(later_s=-60)): "replayed",
        machine.sealed(letter(later_s=600)): "from-the-future",
        machine.sealed(letter(audience="elsewhere", later_s=1)): "wrong-audience",
        seal(letter(later_s=1), [another.public_key], machine.sender): "not-for-this-machine",
        machine.sealed(letter(variables={"LD_PRELOAD": "x"}, later_s=1)): "denied-variable",
        present[:-9]: None,
        present[:-9] + "A" * 9: None,
        "": None,
        "{}": None,
    }
    for text, code in refused.items():
        answer = machine.ask("deliver", bundle=text)
        assert answer["ok"] is False
        assert answer["code"] == code or code is None, answer
        assert answer["message"]
    status = machine.status()
    assert len(status["bundle"]["refused"]) == len(refused)
    assert {one["channel"] for one in status["bundle"]["refused"]} == {"socket"}
    assert status["state"] == "ready"  # a refused push is no standing error
    assert machine.ask("set") == before


def test_a_push_that_is_no_text_or_too_long_is_refused_at_the_door(machine: Machine) -> None:
    machine.start()
    assert machine.ask("deliver", bundle=7)["ok"] is False
    assert machine.ask("deliver")["ok"] is False
    assert machine.ask("deliver", bundle="x" * 300_000)["code"] == "too-large"
    assert machine.ask("deliver", bundle="x" * 200_000)["ok"] is False


def test_subscribers_hear_of_each_change_once(machine: Machine) -> None:
    machine.start()
    with machine.connection() as agent:
        first = agent.ask("subscribe", role="worker")
        machine.ask("deliver", bundle=machine.sealed(letter(aws=Statement.GRANTED)))
        second = agent.hear()
        machine.ask("deliver", bundle=machine.sealed(letter(variables={"DB_TOKEN": "third"})))
        third = agent.hear()
    assert [one["generation"] - first["generation"] for one in (first, second, third)] == [0, 1, 2]
    assert second["environment"]["AWS_SECRET_ACCESS_KEY"] == CANARY
    assert third["environment"] | third["overwrite"] != second["environment"]
    assert third["environment"]["DB_TOKEN"] == "third"


def test_a_worker_and_what_it_has_is_in_status(machine: Machine) -> None:
    machine.start()
    with machine.connection() as agent:
        generation = agent.ask("subscribe", role="scheduler")["generation"]
        (worker,) = machine.status()["workers"]
        assert (worker["pid"], worker["uid"], worker["role"]) == (os.getpid(), os.geteuid(), "scheduler")
        assert worker["generation"] is None
        agent.tell("applied", generation=generation)
        machine.until(lambda: machine.status()["workers"][0]["generation"] == generation)
    machine.until(lambda: machine.status()["workers"] == [])


def test_deliver_from_the_command_line(machine: Machine) -> None:
    machine.start()
    bundle = machine.folder / "bundle"
    write(bundle, machine.sealed(letter()), 0o600)
    done = machine.run("deliver", str(bundle), "--to", f"socket:{machine.socket}")
    assert done.returncode == 0, done.stderr
    assert machine.value() == CANARY
    write(bundle, machine.sealed(letter(), sender=SenderPrivateKey.generate()), 0o600)
    done = machine.run("deliver", str(bundle), "--to", f"socket:{machine.socket}")
    assert done.returncode == 65, done.stderr
    assert "hint:" in done.stderr
