"""The agent restarted again and again under readers, its port held by the service manager: no read fails.

The sessions that it hands out live for less than ten minutes, so that botocore asks for every single request that it
signs. `CREDAGENT_TEST_RESTARTS` says how often the agent is restarted.
"""

import os
import select
import socket
from contextlib import ExitStack

import psutil
import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine, port
from tests.integration.letters import letter
from tests.integration.readers import (
    SESSION_S,
    answer,
    asking,
    everybody_has_read_again,
    reading_by_botocore,
    reading_by_http,
    request,
)

__all__ = ["machine", "port"]

RESTARTS = int(os.environ.get("CREDAGENT_TEST_RESTARTS") or 8)
BOTOCORES = 3


@pytest.fixture
def serving(machine: Machine, port: socket.socket) -> Machine:
    """Return a machine whose agent hands over an AWS session on the port."""
    machine.configure(aws={"handover": "endpoint"}, endpoint={"listen": [f"127.0.0.1:{port.getsockname()[1]}"]})
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, seconds=SESSION_S)))
    machine.start_on(port)
    machine.until(lambda: machine.ask("set").get("settled"))
    return machine


@pytest.mark.timeout(120 + 10 * RESTARTS)
def test_no_read_fails_and_no_connection_is_reset_while_the_agent_restarts_again_and_again(
    serving: Machine, port: socket.socket
) -> None:
    address, head = request(serving)
    with ExitStack() as stack:
        readers = [stack.enter_context(reading_by_botocore(serving)) for _ in range(BOTOCORES)]
        readers += [stack.enter_context(reading_by_http(serving, kept=kept)) for kept in (False, True)]
        for _ in range(RESTARTS):
            everybody_has_read_again(serving, readers)
            with asking(address, head, 20) as asked:  # at the very moment
                assert serving.stop() == 0
                serving.put(serving.sealed(letter(aws=Statement.GRANTED, seconds=SESSION_S)))
                serving.start_on(port)
                assert {answer(one) for one in asked} == {CANARY}
        everybody_has_read_again(serving, readers)
    assert [reader.wrong for reader in readers] == [[]] * len(readers)
    assert len(serving.events("agent_started")) == RESTARTS + 1


def test_what_is_asked_while_no_agent_runs_waits_and_is_answered_by_the_next_one(
    serving: Machine, port: socket.socket
) -> None:
    address, head = request(serving)
    assert serving.stop() == 0
    with asking(address, head, 100) as asked:
        assert select.select(asked, [], [], 0)[0] == []  # neither answered nor refused
        serving.start_on(port)
        assert {answer(one) for one in asked} == {CANARY}


def test_what_an_agent_that_was_killed_has_not_accepted_is_answered_by_the_next_one(
    serving: Machine, port: socket.socket
) -> None:
    address, head = request(serving)
    assert serving.process is not None
    stopped = psutil.Process(serving.process.pid)
    stopped.suspend()
    serving.until(lambda: stopped.status() == psutil.STATUS_STOPPED)
    with asking(address, head, 20) as asked:
        serving.kill()
        serving.start_on(port)
        assert {answer(one) for one in asked} == {CANARY}
