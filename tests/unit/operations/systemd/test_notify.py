"""What the service manager is told, seen at a socket of the kind that it listens on."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from credagent.operations.systemd import notify
from tests.patience import scaled


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    name = f"{tmp_path}/n" if request.param == "file" else f"@credagent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listener.settimeout(scaled(5))
        yield listener, {"NOTIFY_SOCKET": name}


def test_ready_carries_a_status_of_one_line(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listener, environ = manager
    notify.ready("aws from bundle\nuntil  12:00", environ)
    assert listener.recv(4096) == b"READY=1\nSTATUS=aws from bundle until 12:00"


def test_a_reload_names_its_beginning(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listener, environ = manager
    notify.reloading(1234, environ)
    assert listener.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=1234"


def test_the_watchdog_is_fed_and_the_end_is_told(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listener, environ = manager
    notify.alive(environ)
    notify.status("x" * 2000, environ)
    notify.stopping(environ)
    assert [listener.recv(4096)[:11] for _ in range(3)] == [b"WATCHDOG=1", b"STATUS=xxxx", b"STOPPING=1"]


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/no/such"}]
)
def test_nobody_listening_is_no_error(environ: dict[str, str]) -> None:
    notify.ready("ready", environ)


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environ: dict[str, str], interval_s: float | None) -> None:
    assert notify.watchdog_interval_s(environ) == interval_s
