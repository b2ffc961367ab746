"""What a start takes, in what does not depend on the machine: modules, files, programs. Times are `make bench`'s.

The bounds are what was counted, and a twentieth more for other versions of Python and of the libraries. Whoever goes
beyond one looks at what was added, and whether a start needs it, before the number is raised.
"""

import ast
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from credagent.credentials import Statement
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine"]

MODULES = {  # beyond a bare interpreter's, when the command has ended; `exec`: when it starts its program
    "worker-path": 34,
    "credential-process": 60,
    "renew": 60,
    "env": 64,
    "status": 70,
    "exec": 76,
    "exec that stays": 82,
}
MODULES_UNTIL_READY, MODULES_AFTERWARDS = 383, 10
HEAVY = {
    "argparse",
    "asyncio",
    "logging",
    "msgspec",
    "ssl",
    "structlog",
    "subprocess",
    "threading",
    "tomllib",
    "typing",
}
WORDS = {
    "renew": ["renew", "aws"],
    "exec": ["exec", "--", "/bin/true"],
    "exec that stays": ["exec", "--on-renewal", "signal:HUP", "--", "/bin/true"],
}
STARTS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen")

COUNT = """
import os, sys
began, started, sent = set(sys.modules), [], []
def hook(event, arguments):
    if event in STARTS:
        program, words = str(arguments[0]) if arguments else "", arguments[1] if len(arguments) > 1 else ()
        started.append((event, program, [str(word) for word in words or ()]))
        note("starts")
    if event == "socket.sendto" and not sent:
        sent.append(event)
        note("ready")
def note(moment):
    with open(sys.argv[1], "a") as file:
        print((moment, sorted(set(sys.modules) - began), started), file=file)
sys.addaudithook(hook)
from credagent.cli.main import main
words = sys.argv[2:]
code = main(words)
note("ended")
sys.exit(code)
""".replace("STARTS", repr(STARTS))


class Noted:
    """What a counted process noted: the modules that it had at a moment, and the programs that it had started."""

    def __init__(self, path: Path) -> None:
        self._lines = [ast.literal_eval(line) for line in path.read_text().splitlines()]

    def modules(self, moment: str) -> set[str]:
        return next(set(modules) for name, modules, _ in self._lines if name == moment)

    @property
    def started(self) -> list[Any]:
        return self._lines[-1][2] if self._lines else []


@pytest.fixture
def counted(machine: Machine, tmp_path: Path) -> Machine:
    """Return a machine whose agent and commands note what they load and start."""
    machine.program = [sys.executable, "-I", "-c", COUNT, str(tmp_path / "noted")]
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    return machine


@pytest.mark.parametrize("name", MODULES)
def test_a_command_beside_a_running_agent_loads_little(machine: Machine, tmp_path: Path, name: str) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    machine.program = [sys.executable, "-I", "-c", COUNT, str(tmp_path / "noted")]
    machine.run(*WORDS.get(name, [name]), CREDAGENT_SOCKET=str(machine.socket))
    noted = Noted(tmp_path / "noted")
    executes = name.startswith("exec")
    loaded = noted.modules("starts" if executes else "ended")
    assert len(loaded) <= MODULES[name]
    assert loaded.isdisjoint(HEAVY)
    assert {program for _, program, _ in noted.started} <= ({"", "/bin/true"} if executes else set())


def test_the_agent_loads_what_it_needs_before_it_is_ready_and_starts_nothing(counted: Machine, tmp_path: Path) -> None:
    """READY comes when requests are answered: between it and the first answer next to nothing is loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(counted.folder / "notify"))
        manager.settimeout(scaled(30))
        process = counted.start(NOTIFY_SOCKET=str(counted.folder / "notify"))
        assert manager.recv(4096).startswith(b"READY=1")
        counted.ask("status")
    process.terminate()
    assert process.wait(scaled(30)) == 0
    noted = Noted(tmp_path / "noted")
    ready, ended = noted.modules("ready"), noted.modules("ended")
    assert len(ready) <= MODULES_UNTIL_READY
    assert len(ended - ready) <= MODULES_AFTERWARDS
    assert ready.isdisjoint({"structlog", "asyncinotify", "boto3", "botocore", "google", "requests", "distributed"})
    assert noted.started == []


def test_the_only_program_that_an_agent_starts_is_its_own_helper(counted: Machine, tmp_path: Path) -> None:
    """Without a bundle it asks for the machine's own identity."""
    counted.inbox.unlink()
    process = counted.start()
    process.terminate()
    assert process.wait(scaled(30)) == 0
    programs = {tuple(arguments) for _, _, arguments in Noted(tmp_path / "noted").started}
    assert {program[0] for program in programs} == {sys.executable}
    assert {program[2:] for program in programs} == {("-m", "credagent.cloud_helper")}
