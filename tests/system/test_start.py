"""What a start of the packaged command asks of the kernel, as strace sees it: system calls, files, programs.

The counts do not depend on the machine. Modules are counted in `tests/integration/test_start.py`.
"""

import http.client
import os
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from credagent.credentials import Statement
from tests.integration.agents import Machine, machine
from tests.integration.letters import letter
from tests.patience import scaled
from tests.system import images

__all__ = ["machine"]

CALLS_UNTIL_READY = 990
OPENED_UNTIL_READY = 90
CALLS_OF_A_CLIENT = 460
CLIENTS = (("credential-process",), ("env",), ("status", "--json"), ("exec", "--", "/bin/true"))
CALLS_OF_A_REQUEST = 3  # select, receive, send
REQUESTS = 50


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command of the package, which is not installed."""
    root = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", images.deb(), root], check=True)
    return [f"{root}/usr/lib/credagent/bin/python3", "-IS", f"{root}/usr/bin/credagent"]


@pytest.fixture
def traced(machine: Machine, packaged: list[str], tmp_path: Path) -> Machine:
    """Return a machine whose agent is traced, and which holds a bundle for its endpoint."""
    machine.configure(aws={"handover": "endpoint"}, workers={"users": [], "groups": []})  # looking up names is libc's
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.program = ["strace", "-f", "-qq", "-s", "512", "-o", str(tmp_path / "trace"), *packaged]
    return machine


def test_until_ready(traced: Machine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(traced.folder / "notify"))
        manager.settimeout(scaled(60))
        traced.start(NOTIFY_SOCKET=str(traced.folder / "notify"))
        assert manager.recv(4096).startswith(b"READY=1")
    calls = trace(tmp_path)
    until_ready = calls[: next(at for at, call in enumerate(calls) if "READY=1" in call)]
    assert len(until_ready) <= CALLS_UNTIL_READY
    assert sum(call.startswith("open") for call in until_ready) <= OPENED_UNTIL_READY


def test_of_one_request(traced: Machine, tmp_path: Path) -> None:
    traced.start()
    given = traced.ask("set")["environment"]
    address = urlsplit(given["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    headers = {"Authorization": given["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    connection = http.client.HTTPConnection(address.netloc, timeout=scaled(30))

    def ask() -> None:
        connection.request("GET", address.path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()

    ask()
    before = len(trace(tmp_path))
    for _ in range(REQUESTS):
        ask()
    assert (len(trace(tmp_path)) - before) / REQUESTS <= CALLS_OF_A_REQUEST + 0.5  # and what else happens meanwhile


@pytest.mark.parametrize("words", CLIENTS, ids=lambda words: " ".join(words[:2]))
def test_of_a_command_that_asks(machine: Machine, packaged: list[str], tmp_path: Path, words: tuple[str, ...]) -> None:
    """`exec` beside a running agent is such a command until it becomes its program."""
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    command = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), *packaged, *words]
    environ = {"PATH": os.environ["PATH"], "CREDAGENT_SOCKET": str(machine.socket)}
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    calls = trace(tmp_path)
    becomes = (at for at, call in enumerate(calls) if call.startswith('execve("/bin/true"'))
    assert len(calls[: next(becomes, None)]) <= CALLS_OF_A_CLIENT


def test_nothing_is_started_but_helpers(traced: Machine, packaged: list[str], tmp_path: Path) -> None:
    """Without a bundle the agent asks for the machine's own identity, in a helper."""
    traced.inbox.unlink()
    traced.start()
    started = [re.findall(r'"([^"]*)"', call) for call in trace(tmp_path) if call.startswith("execve")]
    assert started[0][:3] == [packaged[0], *packaged[:2]]
    assert len(started) > 1
    assert {tuple(words[1:5]) for words in started[1:]} == {(packaged[0], "-IS", "-m", "credagent.cloud_helper")}


def trace(folder: Path) -> list[str]:
    """Return the calls so far, each as strace writes it, without the process's number."""
    lines = (folder / "trace").read_text(errors="replace").splitlines()
    calls = (line.partition(" ")[2].lstrip() for line in lines)
    return [call for call in calls if not call.startswith(("+++", "---", "<..."))]
