"""Several `exec` of one user on a machine: one agent, shared, and taken over when the one that runs it ends."""

import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from tests.canary import CANARY
from tests.integration.exec.conftest import Node
from tests.patience import scaled

WORKER = """
import os, credagent_worker
session = credagent_worker.start("worker")
session.wait()
seen = None
while True:
    if os.environ["DB_TOKEN"] != seen:
        seen = os.environ["DB_TOKEN"]
        print(seen, flush=True)
    session._stopped.wait(0.02)
"""
PROGRAM = ("exec", "--", sys.executable, "-c", WORKER)


def test_three_in_a_race_share_one_agent(node: Node) -> None:
    node.deliver("first")
    started = [node.start(*PROGRAM) for _ in range(3)]
    assert [_line(one) for one in started] == ["first"] * 3
    assert len(_agents(started)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_is_left_takes_over_and_all_workers_stay_supplied(node: Node, number: int) -> None:
    node.deliver("first")
    started = [node.start(*PROGRAM) for _ in range(3)]
    assert [_line(one) for one in started] == ["first"] * 3
    for round_, value in enumerate(("second", CANARY)):
        (owner,) = _agents(started)
        program = [child for child in psutil.Process(owner.pid).children() if _is_worker(child)]
        owner.send_signal(number)
        assert owner.wait(scaled(20)) == (-number if number == signal.SIGKILL else 128 + number)
        for orphan in program:
            if orphan.is_running():
                orphan.kill()
        started.remove(owner)
        node.until(lambda: len(_agents(started)) == 1)
        node.deliver(value)
        assert [_line(one) for one in started] == [value] * (2 - round_)


def test_the_generation_goes_on_where_the_earlier_agent_was(node: Node) -> None:
    node.deliver("first")
    started = [node.start(*PROGRAM) for _ in range(2)]
    assert [_line(one) for one in started] == ["first"] * 2
    before = node.status()["generation"]
    (owner,) = _agents(started)
    owner.terminate()
    started.remove(owner)
    node.until(lambda: len(_agents(started)) == 1 and node.status().get("generation", 0) >= before)


def test_the_agent_of_a_daemon_is_nobodys_to_take_over(node: Node) -> None:
    node.deliver("first")
    node.start("run")
    node.until((node.folder / "run" / "agent.sock").exists)
    process = node.start(*PROGRAM)
    assert _line(process) == "first"
    assert _is_worker(psutil.Process(process.pid))


def test_a_daemon_that_restarts_while_its_set_is_waited_for_is_waited_for_and_not_replaced(node: Node) -> None:
    node.environ |= {"CREDAGENT_AWS_REQUIRED": "true", "CREDAGENT_BUNDLE_CHANNELS": f"file:{node.inbox}"}
    daemon = node.start("run")
    node.until((node.folder / "run" / "agent.sock").exists)
    process = node.start(*PROGRAM)
    node.until(lambda: node.status().get("workers"))
    daemon.kill()
    daemon.wait()
    again = node.start("run")
    node.until(lambda: (said := node.status()).get("workers") and said["agent"]["pid"] == again.pid)
    assert _agents([process]) == []


def _agents(started: "list[subprocess.Popen[str]]") -> "list[subprocess.Popen[str]]":
    """Return those that run an agent beside their program."""
    return [one for one in started if one.poll() is None and _has_an_agent(psutil.Process(one.pid))]


def _has_an_agent(process: psutil.Process) -> bool:
    return any(not _is_worker(child) for child in _living(process.children))


def _living(children: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    try:
        return [child for child in children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:2] == ["-c"]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return True


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")
