"""How an agent is ended, killed and started again, and what it still knows afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import time

import psutil
import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine, only_message
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine"]


def test_sigterm_ends_it_with_0_and_leaves_what_a_restart_needs(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    with machine.connection() as agent:
        agent.ask("subscribe", role="worker")
        assert machine.stop() == 0
        with pytest.raises((EOFError, ConnectionError)):
            agent.hear()
    assert not machine.socket.exists()
    assert "DB_TOKEN=" in machine.worker_env.read_text()
    assert machine.events("agent_stopped")


def test_sigterm_during_a_fetch_that_hangs_ends_it_too(machine: Machine) -> None:
    with_metadata = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": hanging_address()}
    process = machine.launch("run", "--config", str(machine.config), **with_metadata)
    machine.until(lambda: machine.events("agent_started"))
    machine.until(psutil.Process(process.pid).children)  # the helper, which hears nothing
    process.terminate()
    assert process.wait(scaled(30)) == 0
    assert not machine.events("renewal_failed")  # it has not waited for the helper's deadline


@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, None), (signal.SIGTERM, 0)])
def test_a_signal_during_the_start_is_not_lost(machine: Machine, number: signal.Signals, status: int | None) -> None:
    """A service manager may reload what has just said that it is ready, which it says before its loop runs."""
    machine.put(machine.sealed(letter()))
    process = machine.launch("run", "--config", str(machine.config))
    machine.until(machine.socket.exists)
    process.send_signal(number)
    if status is not None:
        assert process.wait(30) == status
    else:
        machine.until(lambda: machine.events("configuration_reloaded"))
        assert machine.value() == CANARY


def test_a_log_that_nobody_can_write_to_takes_nothing_away(machine: Machine) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*machine.program, "run", "--config", str(machine.config)], env=machine.environ, stdout=writer, stderr=writer
    )
    machine.adopt(process)
    os.close(writer)
    machine.until(lambda: machine.socket.exists() and machine.ask("set").get("settled"))
    os.close(reader)
    for number in range(3):
        assert machine.ask("deliver", bundle="x")["ok"] is False
        assert machine.ask("deliver", bundle=machine.sealed(letter(variables={"DB_TOKEN": f"{number}"})))["ok"]
    process.send_signal(signal.SIGHUP)
    machine.stays(lambda: machine.value() == "2")
    assert machine.stop() == 0


def test_a_second_daemon_on_the_same_folder_is_told_so(machine: Machine) -> None:
    machine.start()
    done = machine.run("run", "--config", str(machine.config))
    assert done.returncode == 69  # not one of those after which the unit stays down
    first, hint = only_message(done)
    assert "an agent runs already" in first
    assert hint.startswith("hint: ")
    assert machine.value() is None
    assert machine.status()["state"] == "ready"


def test_a_second_daemon_on_the_same_state_is_told_so_and_once_writes_nothing_there(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    kept = (machine.state_dir / "in-force.json").read_bytes()
    other = {"CREDAGENT_AGENT_RUNTIME_DIR": str(machine.folder / "run-2")}
    done = machine.run("run", "--config", str(machine.config), **other)
    assert done.returncode == 69
    assert str(machine.state_dir) in only_message(done)[0]
    assert "state_dir of its own" in only_message(done)[1]
    assert machine.once(**other).returncode == 0
    assert not (machine.folder / "run-2" / "worker.env").exists()
    assert (machine.state_dir / "in-force.json").read_bytes() == kept


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
    time.sleep(2.1)  # until it has ended: a longer pause changes nothing
    machine.start()
    status = machine.status()
    assert status["slots"]["aws"]["origin"] == "none"
    assert status["slots"]["aws"]["last_error"]["code"] == "expired"
    assert status["state"] == "degraded"
    assert machine.value("AWS_SECRET_ACCESS_KEY") is None
    assert machine.value("AWS_EC2_METADATA_DISABLED") == "true"
    assert machine.value() == CANARY


def hanging_address() -> str:
    """Return the address of a listener that accepts and says nothing, for as long as this process lives."""
    listener = socket.create_server(("127.0.0.1", 0))
    _kept.append(listener)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


_kept: list[object] = []


@pytest.mark.parametrize("what", ["socket", "folder"])
def test_a_socket_that_a_cleaner_removes_is_bound_again_and_subscribers_stay(machine: Machine, what: str) -> None:
    machine.start()
    with machine.connection() as agent:
        agent.ask("subscribe", role="worker")
        machine.socket.unlink()
        if what == "folder":
            shutil.rmtree(machine.run_dir)
        machine.until(lambda: machine.ask("set").get("ok"))
        assert len(machine.status()["workers"]) == 1
    assert machine.worker_env.exists()
    assert machine.status()["state"] == "ready"
    assert machine.events("socket_bound_again")
    assert machine.stop() == 0
    assert not machine.socket.exists()
