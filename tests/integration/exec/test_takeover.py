"""One `exec` after another loses its agent: readers find the same ports, the same socket and the same generation."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter
from tests.integration.readers import (
    SESSION_S,
    answer,
    asking,
    everybody_has_read_again,
    reading_by_http,
    reading_by_socket,
    request,
)

__all__ = ["machine"]

# PR_SET_PDEATHSIG (1): it ends with its `exec`, which these tests kill.
PROGRAM = ("--", sys.executable, "-c", "import ctypes, signal; ctypes.CDLL(None).prctl(1, 9); signal.pause()")


@pytest.fixture
def shared(machine: Machine) -> Machine:
    """Return a machine with three `exec`, of which one runs the agent; all have its sockets."""
    machine.configure(aws={"handover": "endpoint"})
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, seconds=SESSION_S)))
    for number in (1, 2, 3):
        machine.launch("exec", "--config", str(machine.config), *PROGRAM)
        machine.until(lambda: machine.ask("set").get("settled"))
        stand_by(machine, number)
    return machine


def test_whoever_is_left_goes_on_with_the_same_sockets_and_the_same_generation(shared: Machine) -> None:
    before = shared.ask("set")
    with ExitStack() as stack:
        readers = [stack.enter_context(reading_by_http(shared, kept=kept)) for kept in (False, True)]
        readers.append(stack.enter_context(reading_by_socket(shared)))
        for left in (2, 1):
            everybody_has_read_again(shared, readers)
            agent = shared.status()["agent"]["pid"]
            psutil.Process(agent).parent().kill()  # type: ignore[union-attr]  # its `exec`
            shared.until(lambda agent=agent: shared.status()["agent"]["pid"] != agent)  # type: ignore[misc]  # bound
            stand_by(shared, left)
        everybody_has_read_again(shared, readers)
    assert [reader.wrong for reader in readers] == [[]] * len(readers)
    after = shared.ask("set")
    assert after["generation"] == before["generation"]
    assert after["environment"] == before["environment"]  # the port and the token in it


def test_what_a_killed_agent_has_not_accepted_is_answered_by_the_next_one(shared: Machine) -> None:
    address, head = request(shared)
    agent = psutil.Process(shared.status()["agent"]["pid"])
    owner = agent.parent()
    agent.suspend()
    with asking(address, head, 20) as asked:
        assert owner is not None
        owner.kill()
        agent.kill()
        assert {answer(one) for one in asked} == {CANARY}
    assert shared.status()["agent"]["pid"] != agent.pid


def test_an_agent_that_crashes_beside_its_own_program_comes_back_at_its_port(shared: Machine) -> None:
    address, head = request(shared)
    agent = psutil.Process(shared.status()["agent"]["pid"])
    agent.suspend()
    with asking(address, head, 20) as asked:
        agent.kill()
        assert {answer(one) for one in asked} == {CANARY}


def test_the_last_one_leaves_nothing_behind_that_looks_like_an_agent(machine: Machine) -> None:
    process = machine.launch("exec", "--config", str(machine.config), *PROGRAM)
    stand_by(machine, 1)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert not machine.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_only_who_runs_the_agent_gets_its_sockets(machine: Machine) -> None:
    machine.folder.chmod(0o755)
    machine.configure(workers={"users": ["65533"]})
    machine.launch("exec", "--config", str(machine.config), *PROGRAM)
    stand_by(machine, 1)
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
    ask += """s.sendall(b'{"op":"stand-by"}\\n'); print(socket.recv_fds(s, 4096, 9)[:2])"""
    words = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", sys.executable, "-I", "-c", ask]
    done = subprocess.run([*words, str(machine.socket)], capture_output=True, text=True, check=True)
    assert "not-allowed" in done.stdout
    assert done.stdout.rstrip().endswith("[])")


def test_a_daemon_keeps_its_sockets(machine: Machine) -> None:
    machine.start()
    assert machine.ask("stand-by")["code"] == "not-taken-over"


def stand_by(machine: Machine, number: int) -> None:
    """Wait until so many hold the sockets of the agent that runs now, the one beside it among them."""

    def all_of_them() -> bool:
        events = machine.events("agent_started", "stand_by_began")
        started = max((place for place, event in enumerate(events) if event["event"] == "agent_started"), default=0)
        return len(events) - started - 1 >= number

    machine.until(all_of_them)
