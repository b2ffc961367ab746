"""What systemd makes of an agent that cannot start or that crashes: the ports are held, and it is back by itself.

Without what `credagent.service` and `credagent.socket` say about limits, each of these stories ends in
`start-limit-hit`: the service is given up, the socket unit closes, and any user of the machine can take the port.
"""

import json
import subprocess

import pytest

from tests.patience import scaled
from tests.system.acts import deliver, status, variable
from tests.system.cloud import Sender
from tests.system.conftest import configure
from tests.system.machine import Machine

URLS = ("http://127.0.0.1:9817/credentials", "http://[::1]:9817/credentials")


def ask(machine: Machine, times: int) -> set[str]:
    """Connect to each port so many times, one after the other; return the status and code of all answers."""
    answers: str = machine.run("python3", "-c", _ASK, str(times), *URLS, user="dask")
    return set(json.loads(answers))


def ask_soon(machine: Machine) -> "subprocess.Popen[str]":
    """Begin to ask, and do not wait for the answers."""
    return machine.start("python3", "-c", _ASK, "1", *URLS, user="dask")


def nobody_else_can_take_the_ports(machine: Machine) -> None:
    """See that the socket unit holds them, and that another user is refused."""
    assert machine.property("credagent.socket", "ActiveState") == "active"
    assert machine.run("python3", "-c", _TAKE, user="dask").split() == ["98", "98"]  # EADDRINUSE


def has_not_been_given_up(machine: Machine) -> None:
    """See that systemd refuses no start and closes no port, and never did."""
    assert "-limit-hit" not in machine.run("journalctl", "--no-pager", "-u", "credagent*")
    assert machine.property("credagent", "Result") != "start-limit-hit"


@pytest.mark.parametrize("mended_by", ["a reload", "waiting", "a start"])
def test_a_broken_configuration_and_connections_leave_an_agent_that_says_why_and_can_be_mended(
    running: Machine, sender: Sender, mended_by: str
) -> None:
    deliver(running, sender, "before")
    running.until(lambda: variable(running) == "before")
    running.run("systemctl", "stop", "credagent.service")
    configure(running, sender, "[nonsense]\n")
    assert ask(running, 30) == {"503 unknown-key"}  # the first one has started it
    assert running.property("credagent", "ActiveState") == "active"
    assert running.property("credagent", "NRestarts") == "0"
    assert running.property("credagent", "StatusText").startswith("unavailable: unknown-key")
    shown = status(running)
    assert (shown["state"], shown["problems"]) == ("unavailable", ["unknown-key"])
    nobody_else_can_take_the_ports(running)
    for _ in range(10):
        running.run("systemctl", "restart", "credagent")
    assert ask(running, 5) == {"503 unknown-key"}
    pid = running.property("credagent", "MainPID")
    configure(running, sender)
    if mended_by == "a reload":
        running.run("systemctl", "reload", "credagent")
    elif mended_by == "a start":
        running.run("systemctl", "stop", "credagent.service")
        running.run("systemctl", "start", "credagent.service")
    running.until(lambda: running.property("credagent", "StatusText").startswith("ready"))
    assert (running.property("credagent", "MainPID") == pid) is (mended_by != "a start")
    assert status(running)["state"] == "ready"
    assert variable(running) == "before"
    assert "503 unknown-key" not in ask(running, 1)
    has_not_been_given_up(running)


def test_ten_crashes_within_seconds_and_it_is_back(running: Machine, sender: Sender) -> None:
    deliver(running, sender, "kept")
    running.until(lambda: variable(running) == "kept")
    ordinary = ask(running, 1)
    asking = []
    for crash in range(10):
        running.run("systemctl", "kill", "--signal=KILL", "credagent.service")
        asking.append(ask_soon(running))
        nobody_else_can_take_the_ports(running)
        if crash % 2:
            running.run("systemctl", "start", "credagent.service")
        # Neither a connection nor a start comes before the unit's own pace.
        running.until(lambda: running.property("credagent", "NRestarts") == str(crash + 1))  # noqa: B023  waited for in this turn
    running.until(lambda: running.property("credagent", "ActiveState") == "active")
    for one in asking:
        answers, _ = one.communicate(timeout=scaled(60))
        assert set(json.loads(answers)) == ordinary
    assert variable(running) == "kept"
    has_not_been_given_up(running)


def test_what_ends_at_every_start_keeps_the_ports_and_starts_as_soon_as_it_can(running: Machine) -> None:
    ordinary = ask(running, 1)
    drop_in = running.root / "etc/systemd/system/credagent.service.d/failing.conf"
    running.run("mkdir", "-p", "/etc/systemd/system/credagent.service.d")
    drop_in.write_text("[Service]\nExecStartPre=/bin/false\nRestartSec=10ms\n")
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "credagent.service", check=False)
    asking = [ask_soon(running) for _ in range(30)]
    running.until(lambda: int(running.property("credagent", "NRestarts")) > 30)
    nobody_else_can_take_the_ports(running)
    assert "start request repeated" not in running.run("systemctl", "start", "credagent.service", check=False)
    drop_in.unlink()
    running.run("systemctl", "daemon-reload")
    running.until(lambda: running.property("credagent", "ActiveState") == "active")
    running.run("systemctl", "start", "credagent.service")
    has_not_been_given_up(running)
    for one in asking:
        answers, _ = one.communicate(timeout=scaled(60))
        assert set(json.loads(answers)) == ordinary


_ASK = """
import json, sys, urllib.error, urllib.request
answers = []
for url in sys.argv[2:] * int(sys.argv[1]):
    try:
        answers.append(str(urllib.request.urlopen(url).status))
    except urllib.error.HTTPError as error:
        answers.append(f"{error.code} {json.loads(error.read())['code']}")
print(json.dumps(answers))
"""

_TAKE = """
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            taken.bind((host, 9817))
            print(0)
        except OSError as error:
            print(error.errno)
"""
