"""The helper process itself: a deadline that is kept, a crash that is one failed attempt, and nothing left behind."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from credagent.cloud_helper import helper_process
from credagent.cloud_helper.helper_process import MAX_REPLY_BYTES, call, call_blocking
from credagent.cloud_helper.job_requests import (
    AwsCallerIdentity,
    AwsLocalIdentity,
    AwsMachineIdentity,
    GoogleMachineToken,
)
from credagent.credentials import AwsCredentials
from credagent.errors import InternalError, Unavailable
from credagent.secret import Secret
from tests.integration.clouds import NOWHERE, WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud"]

UNASKED = AwsMachineIdentity(ask_principal=False)
COLLECTED_S = 5.0

# In one process: what one of these stories starts, another would take for its own.
pytestmark = pytest.mark.xdist_group("clouds-process")
Ask = Callable[..., Any]


def in_a_loop(*arguments: Any, **named: Any) -> Any:
    """Call as the daemon does."""
    return asyncio.run(call(*arguments, **named))


both = pytest.mark.parametrize("ask", [call_blocking, in_a_loop], ids=["blocking", "async"])


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a shell script stand for the helper."""

    def stand_in(script: str) -> None:
        program = tmp_path / "helper"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return stand_in


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Count open files and children around each test."""
    me = psutil.Process()
    before = me.num_fds()
    yield
    assert me.children(recursive=True) == []
    assert me.num_fds() <= before


def text_of(pid: int, name: str) -> str:
    """Return what the kernel says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text(errors="replace")


@both
def test_an_answer_comes_back_from_a_process_of_its_own(cloud: Cloud, ask: Ask) -> None:
    assert ask(UNASKED, deadline_s=20, environ=cloud.environ).credentials.session_token


@both
def test_a_failure_comes_back_as_a_code_with_a_hint(ask: Ask) -> None:
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=20, environ={**WITHOUT_MACHINE, "PATH": os.environ["PATH"]})
    assert (raised.value.code, raised.value.retry) == ("no-identity", False)


@both
@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        "exit 1",
        "kill -SEGV $$",
        "kill -ABRT $$",
        "echo not json",
        'echo "{\\"type\\":\\"aws-obtained\\"}"',
        'printf "{\\"type\\":\\"aws-caller\\",\\"arn\\":\\"a"; kill -KILL $$',
        "printf '\\377\\376'",
        "exec <&-; exec >&-; exit 3",
    ],
)
def test_a_crash_is_one_failed_attempt(interpreter: Callable[[str], None], ask: Ask, script: str) -> None:
    interpreter(script)
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=20, environ={})
    assert (raised.value.code, raised.value.retry) == ("helper-crashed", True)


@both
def test_an_answer_without_end_is_cut_off(interpreter: Callable[[str], None], ask: Ask) -> None:
    interpreter("exec yes")
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=20, environ={"PATH": os.environ["PATH"]})
    assert raised.value.code == "helper-crashed"


def gone(*command: str) -> bool:
    """Tell whether no process with this command line lives; a killed one may take a moment to be collected."""
    until = time.monotonic() + COLLECTED_S
    while any(process.info["cmdline"] == [*command] for process in psutil.process_iter(["cmdline"])):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@both
@pytest.mark.parametrize(
    "script", ["exec sleep 60", "trap '' TERM INT HUP; sleep 60 & sleep 60", "exec >&2; sleep 60 & wait"]
)
def test_the_deadline_is_kept_and_the_whole_group_is_gone(
    interpreter: Callable[[str], None], ask: Ask, script: str
) -> None:
    interpreter(script)
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=0.5, environ={"PATH": os.environ["PATH"]})
    assert raised.value.code in {"timed-out", "helper-crashed"}
    assert time.monotonic() - began < 3
    assert gone("sleep", "60")


@both
def test_a_helper_that_cannot_be_started_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=20, environ={})
    assert raised.value.code == "helper-not-started"


def test_cancelling_ends_the_helper(interpreter: Callable[[str], None]) -> None:
    interpreter("exec sleep 60")

    async def give_up() -> None:
        task = asyncio.create_task(call(UNASKED, deadline_s=60, environ={"PATH": os.environ["PATH"]}))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - began < 5


def test_a_request_that_would_block_the_pipe_is_not_sent() -> None:
    with pytest.raises(InternalError):
        call_blocking(AwsMachineIdentity(region="x" * helper_process.MAX_REQUEST_BYTES), deadline_s=1, environ={})
    assert MAX_REPLY_BYTES > helper_process.MAX_REQUEST_BYTES


@pytest.fixture
def silent_proxy() -> Iterator[str]:
    """Return the address of a proxy that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_proxy_that_hangs_does_not_hold_up_the_deadline(cloud: Cloud, silent_proxy: str) -> None:
    environ = {**cloud.environ, "HTTPS_PROXY": silent_proxy, "AWS_ENDPOINT_URL_STS": "https://sts.example.test"}
    environ |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x", **WITHOUT_MACHINE}
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        call_blocking(AwsLocalIdentity(), deadline_s=2, environ=environ)
    assert raised.value.code == "timed-out"
    assert time.monotonic() - began < 4


def test_the_proxy_is_asked_for_cloud_endpoints_and_never_for_metadata(cloud: Cloud) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), proxy)
        environ = {**cloud.environ, **proxies, "AWS_ENDPOINT_URL_STS": "https://sts.example.test"}
        obtained = call_blocking(AwsMachineIdentity(), deadline_s=20, environ=environ)
        call_blocking(GoogleMachineToken(), deadline_s=20, environ=environ)
        thread.join(5)
    assert obtained.credentials.session_token
    assert [line.split()[:2] for line in asked] == [[b"CONNECT", b"sts.example.test:443"]]


def test_secrets_are_in_neither_argv_nor_environment_of_the_helper(cloud: Cloud, canary: str) -> None:
    cloud.simulator.fault("sts", hang=True)
    credentials = AwsCredentials(
        access_key_id="ASIA", secret_access_key=Secret(canary), session_token=Secret(canary), region="eu-central-1"
    )
    seen: list[str] = []

    async def watch() -> None:
        task = asyncio.create_task(
            call(AwsCallerIdentity(credentials=credentials), deadline_s=2, environ=cloud.environ)
        )
        await asyncio.sleep(1.2)
        for child in psutil.Process().children():
            seen.append(" ".join(child.cmdline()))
            seen.append(text_of(child.pid, "environ"))
        with pytest.raises(Unavailable):
            await task

    asyncio.run(watch())
    assert "credagent.cloud_helper" in seen[0]
    assert canary not in "".join(seen)


def test_a_helper_cannot_be_looked_into_by_its_own_user(cloud: Cloud) -> None:
    cloud.simulator.fault("sts", hang=True)
    limits: list[tuple[int, str]] = []

    async def watch() -> None:
        request = AwsLocalIdentity()
        keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
        task = asyncio.create_task(call(request, deadline_s=2, environ={**cloud.environ, **WITHOUT_MACHINE, **keys}))
        await asyncio.sleep(1.2)
        # The kernel gives the files of a process that must not be looked into to root.
        children = [child.pid for child in psutil.Process().children()]
        limits.extend((os.stat(f"/proc/{pid}/environ").st_uid, text_of(pid, "limits")) for pid in children)
        with pytest.raises(Unavailable):
            await task

    asyncio.run(watch())
    [(owner, text)] = limits
    assert owner == 0
    assert "Max core file size        0                    0" in text


def test_a_program_that_a_profile_starts_gets_neither_the_request_nor_the_reply(cloud: Cloud) -> None:
    seen = cloud.home / "seen"
    program = cloud.home / "give.sh"
    program.write_text(f"#!/bin/sh\ncat > {seen}\nls -l /proc/self/fd | grep -c pipe: >> {seen}\nexit 1\n")
    program.chmod(0o700)
    (cloud.home / ".aws").mkdir()
    (cloud.home / ".aws" / "config").write_text(f"[default]\ncredential_process = {program}\n")
    with pytest.raises(Unavailable) as raised:
        call_blocking(AwsLocalIdentity(), deadline_s=20, environ={**cloud.environ, **WITHOUT_MACHINE})
    assert raised.value.code == "credential-process-failed"
    assert seen.read_text().splitlines()[:-1] == []  # nothing came by stdin


def test_a_deadline_also_ends_a_program_that_a_profile_starts(cloud: Cloud) -> None:
    (cloud.home / ".aws").mkdir()
    (cloud.home / ".aws" / "config").write_text("[default]\ncredential_process = sleep 61\n")
    with pytest.raises(Unavailable) as raised:
        call_blocking(AwsLocalIdentity(), deadline_s=2, environ={**cloud.environ, **WITHOUT_MACHINE})
    assert raised.value.code == "timed-out"
    assert gone("sleep", "61")


def test_a_helper_dies_with_its_caller(cloud: Cloud) -> None:
    program = (
        "import os, threading, time\n"
        "from credagent.cloud_helper.helper_process import call_blocking\n"
        "from credagent.cloud_helper.job_requests import AwsLocalIdentity\n"
        "threading.Timer(1.0, os._exit, [0]).start()\n"
        "call_blocking(AwsLocalIdentity(), deadline_s=60)\n"
    )
    cloud.simulator.fault("sts", hang=True)
    environ = {**cloud.environ, **WITHOUT_MACHINE, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, check=False, timeout=20)
    assert done.returncode == 0
    time.sleep(0.3)
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "credagent.cloud_helper" in (process.info["cmdline"] or [])
    ]
    assert [process for process in left if process.environ().get("HOME") == str(cloud.home)] == []


def test_nowhere_is_nowhere() -> None:
    """The proxy by which these tests keep packets on the machine must not exist."""
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(NOWHERE.rpartition(":")[2])), timeout=1):
        pass
