"""How an agent is reloaded, ended, killed and started again, and what it still knows afterwards."""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping

import pytest

from credagent.bundle.keys import SenderPrivateKey
from credagent.credentials import Slot, Statement
from credagent.rules.rendering import WITHDRAWN
from tests.canary import CANARY
from tests.integration.agents import Machine, machine, only_message
from tests.integration.letters import letter

__all__ = ["machine"]

ENDS_S = 5.0


def test_sigterm_ends_it_quickly_with_0_and_leaves_what_a_restart_needs(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    with machine.connection() as agent:
        agent.ask("subscribe", role="worker")
        began = time.monotonic()
        assert machine.stop() == 0
        assert time.monotonic() - began < ENDS_S
        with pytest.raises((EOFError, ConnectionError)):
            agent.hear()
    assert not machine.socket.exists()
    assert "DB_TOKEN=" in machine.worker_env.read_text()
    assert machine.events("agent_stopped")


def test_sigterm_during_a_fetch_that_hangs_ends_it_too(machine: Machine) -> None:
    with_metadata = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": hanging_address()}
    process = machine.launch("run", "--config", str(machine.config), **with_metadata)
    machine.until(lambda: machine.events("agent_started"))
    time.sleep(0.5)
    began = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0
    assert time.monotonic() - began < ENDS_S


def test_a_second_daemon_on_the_same_folder_is_told_so(machine: Machine) -> None:
    machine.start()
    done = machine.run("run", "--config", str(machine.config))
    assert done.returncode == 78
    first, hint = only_message(done)
    assert "an agent runs already" in first
    assert hint.startswith("hint: ")
    assert machine.value() is None
    assert machine.status()["state"] == "ready"


def test_bundle_marks_and_generation_survive_a_crash(machine: Machine) -> None:
    old, new = machine.sealed(letter()), machine.sealed(letter(variables={"DB_TOKEN": "second"}, later_s=1))
    machine.start()
    assert machine.ask("deliver", bundle=old)["ok"]
    assert machine.ask("deliver", bundle=new)["ok"]
    before = machine.status()
    machine.kill()
    machine.start()
    after = machine.status()
    assert machine.value() == "second"
    assert after["bundle"]["sequence"] == before["bundle"]["sequence"]
    assert after["bundle"]["channel"] == "socket"
    assert after["generation"] >= before["generation"]
    assert machine.ask("deliver", bundle=old)["code"] == "replayed"
    assert machine.ask("deliver", bundle=new)["outcome"] == "unchanged"


def test_nothing_kept_is_readable_without_the_key(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    for path in machine.state_dir.rglob("*"):
        assert CANARY.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"version":1,"bundle":7}', b"\0" * 4096])
def test_a_damaged_state_is_one_clear_line(machine: Machine, content: bytes) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    machine.stop()
    (machine.state_dir / "in-force.json").write_bytes(content)
    done = machine.run("run", "--config", str(machine.config))
    assert done.returncode == 78
    first, hint = only_message(done)
    assert "in-force.json" in first
    assert "move it away" in hint
    (machine.state_dir / "in-force.json").unlink()
    machine.start()
    assert machine.value() == CANARY


def test_a_damaged_memory_of_what_was_handed_out_stops_nothing(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    machine.stop()
    (machine.run_dir / "handed-out.json").write_bytes(b"{")
    machine.start()
    assert machine.value() == CANARY


def test_a_stale_socket_of_a_killed_agent_is_replaced(machine: Machine) -> None:
    machine.start()
    machine.kill()
    assert machine.socket.exists()
    machine.start()
    assert machine.status()["state"] == "ready"


def test_an_expired_session_is_not_handed_out_after_a_restart(machine: Machine) -> None:
    machine.start()
    machine.ask("deliver", bundle=machine.sealed(letter(aws=Statement.GRANTED, seconds=2)))
    machine.kill()
    time.sleep(2.1)
    machine.start()
    status = machine.status()
    assert status["slots"]["aws"]["origin"] == "none"
    assert status["slots"]["aws"]["last_error"]["code"] == "expired"
    assert status["state"] == "degraded"
    assert machine.value("AWS_SECRET_ACCESS_KEY") is None
    assert machine.value("AWS_EC2_METADATA_DISABLED") == "true"
    assert machine.value() == CANARY


# ---- reload


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


def hanging_address() -> str:
    """Return the address of a listener that accepts and says nothing, for as long as this process lives."""
    listener = socket.create_server(("127.0.0.1", 0))
    _kept.append(listener)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


_kept: list[object] = []
