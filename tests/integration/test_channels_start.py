"""What whoever starts the agent gives it: at boot, in a daemon and once, in force when it answers."""

import subprocess
import sys

import pytest

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.bundle.sealing import seal
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter

__all__ = ["machine"]


def numbered(machine: Machine, number: int) -> str:
    return machine.sealed(letter(variables={"NUMBER": str(number)}))


def given(machine: Machine, channel: str, content: str) -> dict[str, str]:
    """Put `content` where `channel` is, and return the environment that the agent needs for it."""
    machine.configure(bundle={"channels": [channel]})
    if channel.startswith("env"):
        return {"CREDAGENT_SEALED": content}
    folder = machine.folder / "credentials"
    folder.mkdir()
    (folder / "bundle").write_text(content)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


here = pytest.mark.parametrize("channel", ["env", "credential:bundle"])


@here
def test_it_is_in_force_when_the_agent_answers(machine: Machine, channel: str) -> None:
    environ = given(machine, channel, numbered(machine, 1))
    machine.start(**environ)
    assert machine.value("NUMBER") == "1"
    assert machine.status()["bundle"]["channel"] == channel.partition(":")[0]


@here
def test_it_is_resolved_once_without_a_daemon(machine: Machine, channel: str) -> None:
    done = machine.once(**given(machine, channel, numbered(machine, 1)))
    assert done.returncode == 0, done.stderr
    assert "NUMBER=1" in machine.worker_env.read_text()


@here
@pytest.mark.parametrize(("content", "code"), [("", "empty"), ("hello", "not-an-envelope")])
def test_what_is_no_bundle_is_refused(machine: Machine, channel: str, content: str, code: str) -> None:
    machine.start(**given(machine, channel, content))
    machine.until(lambda: code in machine.refusals())


@here
def test_what_is_sealed_to_another_machine_only_is_refused_where_it_was_meant_for_this_one(
    machine: Machine, channel: str
) -> None:
    foreign = seal(letter(), [RecipientPrivateKey.generate().public_key], machine.sender)
    machine.start(**given(machine, channel, foreign))
    assert machine.refusals()[0] == "not-for-this-machine"


@here
def test_an_older_bundle_than_the_one_in_force_changes_nothing(machine: Machine, channel: str) -> None:
    old, new = numbered(machine, 1), numbered(machine, 2)
    machine.put(new)
    machine.start()
    assert machine.value("NUMBER") == "2"
    machine.stop()
    machine.start(**given(machine, channel, old))
    assert machine.refusals()[0] == "replayed"
    assert (machine.value("NUMBER"), machine.status()["state"]) == ("2", "ready")


def test_where_nothing_is_given_nothing_is_said(machine: Machine) -> None:
    machine.configure(bundle={"channels": ["env", "credential:bundle", "stdin"]})
    machine.start()
    assert machine.status()["state"] == "ready"
    assert machine.refusals() == []


def test_a_bundle_is_piped_into_the_agent(machine: Machine) -> None:
    machine.configure(bundle={"channels": ["stdin"]})
    command = [*machine.program, "run", "--once", "--config", str(machine.config)]
    done = subprocess.run(
        command, input=numbered(machine, 1).encode() + b"\n", env=machine.environ, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "NUMBER=1" in machine.worker_env.read_text()


def test_an_agent_whose_input_comes_late_waits_for_it_and_survives_a_reload(machine: Machine) -> None:
    machine.configure(bundle={"channels": ["stdin"]})
    sealed = numbered(machine, 1)
    late = f"import sys; sys.stdin.readline(); print({sealed!r}, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", late]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        with machine.log.open("ab") as log:
            command = [*machine.program, "run", "--config", str(machine.config)]
            agent = subprocess.Popen(command, env=machine.environ, stdin=writer.stdout, stdout=log, stderr=log)
        machine.adopt(agent)
        machine.until(lambda: machine.ask("set"))
        assert machine.value("NUMBER") is None
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        machine.until(lambda: machine.value("NUMBER") == "1")
        machine.reload()
        machine.stays(lambda: machine.value("NUMBER") == "1", 1.0)
        assert machine.refusals() == []
        writer.kill()
