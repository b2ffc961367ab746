"""`whoami --worker`: asked of a stand-in for the agent, about processes that this test starts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from credagent.errors import Unavailable
from tests.standin import Running, StandIn
from tests.unit.cli.conftest import Command

ANA = "arn:aws:iam::123456789012:user/ana"
LIVES = "import sys; print('up', flush=True); sys.stdin.read()"


class Agent(StandIn):
    """Holds a session of Ana's, and has heard `reported` of the processes that it supplies."""

    reported: tuple[Mapping[str, Any], ...] = ()

    async def status(self) -> Mapping[str, object]:
        empty = {"origin": "none", "principal": None, "handover": "metadata"}
        aws = {"origin": "bundle", "principal": ANA, "handover": "environment"}
        return {"version": 1, "state": "ready", "generation": 4, "slots": {"aws": aws, "google": empty}}

    def processes(self, pid: int | None) -> Mapping[str, object]:
        return {"processes": [one for one in self.reported if pid in (None, one["pid"])]}


def report(pid: int, *names: str, generation: int = 4) -> dict[str, Any]:
    process = {"names": list(names), "changed": [], "proxied": False, "versions": {"botocore": "1.44.8"}}
    return {"pid": pid, "uid": os.geteuid(), "role": "worker", "generation": generation, "process": process}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    os.environ["CREDAGENT_SOCKET"] = os.environ["CREDAGENT_AGENT_RUNTIME_DIR"] = str(tmp_path)
    os.environ["CREDAGENT_SOCKET"] += "/agent.sock"
    agent = Agent(AWS_ACCESS_KEY_ID="A")
    with Running(os.environ["CREDAGENT_SOCKET"], agent):
        yield agent


@contextmanager
def process(**environ: str) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LIVES], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.communicate()


def test_a_process_that_has_what_the_agent_gave_it(
    agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.reported = (report(os.getpid(), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),)
    assert command("whoami", "--worker") == 0
    said = capsys.readouterr().out
    assert f"worker {os.getpid()} of " in said
    assert "the keys in its environment, generation 4 of the agent" in said
    assert ANA in said
    assert "botocore 1.44.8" in said


def test_what_a_task_has_set_is_named_with_a_remedy_and_fails(
    agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.reported = (report(os.getpid(), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN"),)
    assert command("whoami", "--worker", str(os.getpid())) == 1
    said = capsys.readouterr().out
    assert "! AWS_SECURITY_TOKEN is set by something that ran in it" in said
    assert "→ `unset AWS_SECURITY_TOKEN`" in said
    assert f"and not what the agent holds: {ANA}" in said


def test_a_process_that_is_behind_fails(agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    agent.reported = (report(os.getpid(), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", generation=3),)
    assert command("whoami", "--worker") == 1
    assert "generation 3, the agent has 4" in capsys.readouterr().out


def test_processes_of_other_pid_namespaces_are_told_one_by_one(
    agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel has no number for them here."""
    agent.reported = (report(0, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), {**report(0), "process": None})
    command("whoami", "--worker")
    assert capsys.readouterr().out.count("worker 0 of ") == 2


@pytest.mark.usefixtures("agent")
def test_a_process_that_follows_no_agent_is_judged_by_its_start_without_a_value(
    command: Command, capsys: pytest.CaptureFixture[str], canary: str, tmp_path: Path
) -> None:
    own = {"AWS_ACCESS_KEY_ID": canary, "AWS_SECRET_ACCESS_KEY": canary, "HOME": str(tmp_path)}
    with process(**own) as pid:
        assert command("whoami", "--worker", str(pid), "--json") == 1
    written = capsys.readouterr().out
    assert canary not in written
    (found,) = json.loads(written)["processes"]
    assert (found["pid"], found["role"], found["generation"]) == (pid, "process", None)
    assert found["uses"][0] == {"slot": "aws", "source": "keys in its environment, which nobody renews", "ours": False}


@pytest.mark.usefixtures("agent")
def test_a_process_that_is_not_there_and_an_agent_that_supplies_none(command: Command) -> None:
    with pytest.raises(Unavailable) as gone:
        command("whoami", "--worker", "99999999")
    assert gone.value.code == "no-process"
    with pytest.raises(Unavailable) as none:
        command("whoami", "--worker")
    assert none.value.code == "no-worker"


def test_sts_is_not_asked_for_a_process_whose_values_nobody_sees(
    agent: Agent, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.reported = (report(os.getpid(), "AWS_PROFILE"),)
    command("whoami", "--worker", "--ask")
    assert "STS: not asked: the process has changed its environment" in capsys.readouterr().out
