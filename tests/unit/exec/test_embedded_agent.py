"""The last words of an agent that crashed beside a program say where, and nothing that was in its hands."""

import os

import pytest

from credagent.exec.embedded_agent import EmbeddedAgent, TakenOver


def test_a_crash_tells_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    secret = os.urandom(8).hex()

    def live(_: TakenOver) -> int:
        raise ValueError(secret)

    beside = EmbeddedAgent(live)
    beside.start(TakenOver())
    (pid,) = beside.pids()
    beside.ended(*os.waitpid(pid, 0))
    said = capfd.readouterr().err
    assert "ValueError" in said
    assert "test_embedded_agent" in said
    assert beside.exit_code == 70
    assert secret not in said
