"""A start that fails while the service manager holds the ports: they stay held, and the agent says why until it can."""

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from credagent.credentials import Statement
from tests.integration.agents import Machine, machine, port
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine", "port"]


def start(machine: Machine, port: socket.socket) -> "subprocess.Popen[bytes]":
    """Start the daemon as systemd does, which names the folder that it has made."""
    return machine.start_on(port, RUNTIME_DIRECTORY=str(machine.run_dir))


def answer(port: socket.socket) -> tuple[int, str]:
    """Return the status and the code that a client of the endpoint gets."""
    address = f"http://127.0.0.1:{port.getsockname()[1]}/credentials"
    try:
        with urllib.request.urlopen(address, timeout=scaled(30)) as found:
            return found.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["code"]


@pytest.mark.parametrize("broken", ["configuration", "mode"])
def test_a_broken_configuration_keeps_the_port_refuses_says_why_and_is_mended_by_a_reload(
    machine: Machine, port: socket.socket, broken: str
) -> None:
    machine.configure(aws={"handover": "endpoint"}, endpoint={"listen": [f"127.0.0.1:{port.getsockname()[1]}"]})
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.run_dir.chmod(0o751)
    sound = machine.config.read_text()
    if broken == "configuration":
        machine.config.write_text(sound + "[nonsense]\n")
    else:
        machine.config.chmod(0o666)
    agent = start(machine, port)
    machine.until(lambda: machine.events("start_failed"))
    code = machine.events("start_failed")[0]["code"]
    for _ in range(20):
        assert answer(port) == (503, code)
    status = machine.until(machine.status)
    assert (status["state"], status["problems"]) == ("unavailable", [code])
    assert machine.ask("set")["code"] == code
    assert agent.poll() is None
    agent.send_signal(signal.SIGHUP)  # nothing was mended
    machine.until(lambda: len(machine.events("start_failed")) == 2)
    assert answer(port) == (503, code)
    machine.config.write_text(sound)
    machine.config.chmod(0o644)
    machine.until(machine.status)
    agent.send_signal(signal.SIGHUP)
    machine.until(lambda: machine.events("agent_started"))
    machine.until(lambda: machine.status().get("state") == "ready")
    assert answer(port) == (404, "not-found")  # the agent itself, which knows no such path
    assert machine.stop() == 0


def test_one_that_is_told_to_end_ends_well(machine: Machine, port: socket.socket) -> None:
    machine.config.write_text("nonsense")
    agent = start(machine, port)
    machine.until(lambda: machine.events("start_failed"))
    assert answer(port)[0] == 503
    assert machine.stop() == 0
    assert agent.returncode == 0


def test_without_a_socket_it_ends_with_78(machine: Machine) -> None:
    machine.config.write_text("nonsense")
    assert machine.run("run", "--config", str(machine.config)).returncode == 78


def test_a_folder_that_another_agent_holds_is_tried_again_by_itself(machine: Machine, port: socket.socket) -> None:
    first = machine.start()
    start(machine, port)
    machine.until(lambda: machine.events("start_failed"))
    assert machine.status()["state"] == "ready"  # of the one that runs
    os.kill(first.pid, signal.SIGTERM)
    first.wait(60)
    machine.until(lambda: len(machine.events("agent_started")) == 2)
    machine.until(lambda: machine.ask("set").get("settled"))
    assert machine.stop() == 0
