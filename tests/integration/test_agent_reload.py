"""What a running agent makes of a configuration that has changed, for the better or for the worse."""

import json
import os
from collections.abc import Callable, Mapping

import pytest

from credagent.bundle.key_pairs import RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from credagent.credentials import Slot, Statement
from credagent.worker_environment.rendering import WITHDRAWN
from tests.canary import CANARY
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter

__all__ = ["machine"]


def test_a_new_trusted_sender_is_taken_at_a_reload(machine: Machine) -> None:
    other = SenderPrivateKey.generate()
    machine.start()
    sealed = machine.sealed(letter(), sender=other)
    machine.put(sealed)
    machine.until(lambda: machine.refusals() == ["untrusted-sender"])
    machine.configure(bundle={"trusted_senders": [machine.sender.public_key.line, other.public_key.line]})
    machine.reload()
    machine.until(lambda: machine.value() == CANARY)
    assert machine.status()["state"] == "ready"


def test_a_sender_removed_at_a_reload_is_withdrawn_at_once_and_comes_back(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    with machine.connection() as agent:
        assert agent.ask("subscribe", role="worker")["environment"]["DB_TOKEN"] == CANARY
        machine.configure(bundle={"trusted_senders": []})
        machine.reload()
        withdrawn = agent.hear()
    assert "DB_TOKEN" not in withdrawn["environment"]
    assert withdrawn["overwrite"]["DB_TOKEN"] == WITHDRAWN
    assert withdrawn["overwrite"]["AWS_SECRET_ACCESS_KEY"] == WITHDRAWN
    assert CANARY not in machine.worker_env.read_text()
    assert machine.status()["state"] == "degraded"
    machine.configure(bundle={"trusted_senders": [machine.sender.public_key.line]})
    machine.reload()
    assert machine.value() == CANARY
    assert machine.status()["state"] == "ready"


BROKEN: Mapping[str, Callable[[Machine], object]] = {
    "not TOML": lambda machine: machine.config.write_text("[agent"),
    "an unknown key": lambda machine: machine.configure(agent={"audeince": "x"}),
    "a sender's file that is not there": lambda machine: machine.configure(
        agent={"audience": "other"}, bundle={"trusted_senders": ["file:/nonexistent"]}
    ),
    "a key that is not there": lambda machine: machine.configure(
        agent={"audience": "other"}, bundle={"recipient_keys": ["file:/nonexistent"]}
    ),
    "open to all": lambda machine: machine.config.chmod(0o666),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_configuration_is_said_and_the_old_one_stays(machine: Machine, what: str) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    text = machine.config.read_text()
    BROKEN[what](machine)
    machine.reload()
    (failed,) = machine.events("reload_failed")
    assert failed["hint"]
    assert machine.value() == CANARY
    status = machine.status()
    assert (status["state"], status["audience"]) == ("degraded", "lab")
    assert machine.ask("set")["audience"] == "lab"
    assert machine.ask("deliver", bundle=machine.sealed(letter(variables={"DB_TOKEN": "second"})))["ok"]
    assert machine.value() == "second"
    machine.config.chmod(0o644)
    machine.config.write_text(text)
    machine.reload()
    machine.until(lambda: machine.status()["state"] == "ready")


def test_what_only_a_restart_can_change_is_named(machine: Machine) -> None:
    machine.start()
    machine.configure(
        agent={"runtime_dir": str(machine.folder / "other")},
        aws={"handover": "endpoint", "region": "eu-west-1"},
        bundle={"channels": ["file:{runtime_dir}/inbox/bundle", "socket", f"socket:{machine.folder}/second.sock"]},
    )
    machine.reload()
    said = machine.events("configuration_reloaded")[-1]
    assert set(said["needs_restart"]) == {"agent.runtime_dir", "aws.handover", "bundle.channels"}
    assert machine.status()["slots"]["aws"]["handover"] == "environment"
    assert machine.ask("deliver", bundle=machine.sealed(letter(aws=Statement.GRANTED)))["ok"]
    assert machine.value("AWS_SECRET_ACCESS_KEY") == CANARY
    assert machine.value("AWS_REGION") == "eu-west-1"  # what needs no restart is in force
    assert not (machine.folder / "other").exists()
    assert "DB_TOKEN" in machine.worker_env.read_text()


def test_worker_env_is_written_where_a_reload_says(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    machine.configure(workers={"env_file": str(machine.folder / "elsewhere.env")})
    machine.reload()
    assert "DB_TOKEN" in (machine.folder / "elsewhere.env").read_text()
    assert not machine.worker_env.exists()  # nobody would renew it, or take it back
    machine.stop()
    machine.configure(workers={"env_file": str(machine.worker_env)})
    machine.start()
    assert "DB_TOKEN" in machine.worker_env.read_text()
    assert not (machine.folder / "elsewhere.env").exists()


def test_the_log_speaks_as_a_reload_says(machine: Machine) -> None:
    del machine.environ["CREDAGENT_LOG_LEVEL"]
    machine.start()
    machine.configure(log={"level": "error"})
    machine.reload_quietly()
    assert machine.ask("deliver", bundle="x")["ok"] is False
    assert not machine.events("bundle_refused")


def test_another_channel_is_followed_after_a_reload(machine: Machine) -> None:
    machine.start()
    folder = machine.folder / "drop"
    folder.mkdir()
    machine.configure(bundle={"channels": [f"file:{folder}/bundle"]})
    machine.reload()
    machine.put(machine.sealed(letter(variables={"DB_TOKEN": "unseen"})))
    (folder / "bundle").write_text(machine.sealed(letter()))
    machine.until(lambda: machine.value() == CANARY)
    assert machine.refusals() == []


def test_a_required_bundle_and_slot_after_a_reload(machine: Machine) -> None:
    machine.start()
    machine.configure(bundle={"expect": "required"})
    machine.reload()
    assert machine.status()["state"] == "unavailable"
    done = machine.run("status", "--config", str(machine.config))
    assert done.returncode == 1
    machine.put(machine.sealed(letter()))
    machine.until(lambda: machine.status()["state"] == "ready")
    machine.configure(aws={"required": True})
    machine.reload()
    assert machine.status()["state"] == "unavailable"
    assert machine.status()["slots"][Slot.AWS.value]["required"] is True


def test_a_storm_of_reloads_is_survived(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    process = machine.start()
    for _ in range(20):
        os.kill(process.pid, 1)
    machine.until(lambda: machine.events("configuration_reloaded"))
    assert machine.value() == CANARY
    assert json.dumps(machine.status())


def test_two_rotations_with_a_reload_after_each_lose_nothing_that_is_in_force(machine: Machine) -> None:
    machine.configure(bundle={"recipient_keys": ["state"]})
    machine.start()
    own = RecipientPublicKey.parse(machine.ask("identity")["public_key"])
    assert machine.ask("deliver", bundle=seal(letter(), [own], machine.sender))["ok"]
    for _ in range(2):
        assert machine.run("rotate-key", "--config", str(machine.config)).returncode == 0
        machine.reload()
        assert machine.value() == CANARY
    machine.kill()
    machine.start()
    assert machine.value() == CANARY
    assert machine.status()["problems"] == []
