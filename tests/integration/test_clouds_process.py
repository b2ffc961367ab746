"""The helper process itself: a deadline that is kept, a crash that is one failed attempt, and nothing left behind."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from credagent.cloud_helper import helper_call
from credagent.cloud_helper.helper_call import MAX_REPLY_BYTES, call, call_blocking
from credagent.cloud_helper.job_requests import (
    AwsAssumeRole,
    AwsLocalIdentity,
    AwsMachineIdentity,
    GoogleMachineToken,
    RequestFor,
)
from credagent.credentials import AwsCredentials
from credagent.errors import InternalError, Unavailable
from credagent.secret import Secret
from tests.integration.clouds import NOWHERE, WITHOUT_MACHINE, Cloud, cloud
from tests.patience import scaled

__all__ = ["cloud"]

UNASKED = AwsMachineIdentity(known_role="dask-node")
FOREVER = "86399"
"""Longer than any test may last; a number that no other process on this machine sleeps for."""

# In one process: what one of these stories starts, another would take for its own.
pytestmark = pytest.mark.xdist_group("clouds-process")
Ask = Callable[..., Any]
T = TypeVar("T")


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
    wait_for(
        lambda: me.num_fds() <= before
    )  # the simulator closes a connection whose client was killed when it sees that


def text_of(pid: int, name: str) -> str:
    """Return what the kernel says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text(errors="replace")


def wait_for(seen: Callable[[], T], seconds: float = 20.0) -> T:
    """Return what `seen` returns as soon as that is true."""
    until = time.monotonic() + scaled(seconds)
    while not (found := seen()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class SeenHelper:
    """What root can see of a helper."""

    command_line: str
    environ: str
    limits: str
    owner: int


async def seen_while_it_asks(cloud: Cloud, request: RequestFor[Any], environ: Mapping[str, str]) -> SeenHelper:
    """Look at the helper while STS, which hangs, has its request."""
    cloud.simulator.fault("sts", hang=True)
    task = asyncio.create_task(call(request, deadline_s=3600, environ=environ))
    await asyncio.to_thread(wait_for, lambda: cloud.simulator.log("sts"))
    [child] = psutil.Process().children()
    owner = os.stat(f"/proc/{child.pid}/environ").st_uid
    seen = SeenHelper(" ".join(child.cmdline()), text_of(child.pid, "environ"), text_of(child.pid, "limits"), owner)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return seen


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
    """Wait until no process with this command line lives: a killed one may take a moment to be collected."""
    wait_for(lambda: not any(each.info["cmdline"] == [*command] for each in psutil.process_iter(["cmdline"])))
    return True


@both
@pytest.mark.parametrize(
    "script",
    [
        f"exec sleep {FOREVER}",
        f"trap '' TERM INT HUP; sleep {FOREVER} & sleep {FOREVER}",
        f"exec >&2; sleep {FOREVER} & wait",
    ],
)
def test_a_service_that_hangs_ends_at_the_deadline_with_all_that_was_started(
    interpreter: Callable[[str], None], ask: Ask, script: str
) -> None:
    interpreter(f"printf '\\nasking\\n'; {script}")
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=0.5, environ={"PATH": os.environ["PATH"]})
    assert raised.value.code in {"timed-out", "helper-crashed"}
    assert gone("sleep", FOREVER)


@both
@pytest.mark.parametrize("said", ["", "printf '\\n';", "printf '\\nasking\\npreparing\\n';"])
def test_a_helper_that_does_not_get_to_ask_is_told_apart_from_a_service_that_hangs(
    interpreter: Callable[[str], None], ask: Ask, said: str
) -> None:
    interpreter(f"{said} exec sleep {FOREVER}")
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=3600, own_work_s=0.5, environ={"PATH": os.environ["PATH"]})
    assert (raised.value.code, raised.value.retry) == ("helper-slow", True)
    assert "processor" in raised.value.hint
    assert gone("sleep", FOREVER)


def test_a_helper_held_up_for_longer_than_the_deadline_still_obtains_the_identity(cloud: Cloud) -> None:
    deadline_s = scaled(3.0)

    def hold_up() -> None:
        """Stop the helper where it starts, as a machine does that gives it a few percent of a core."""
        helper = wait_for(lambda: psutil.Process().children())[0]
        helper.suspend()
        time.sleep(deadline_s + 0.5)
        helper.resume()

    holding = threading.Thread(target=hold_up)
    holding.start()
    obtained = call_blocking(UNASKED, deadline_s=deadline_s, environ=cloud.environ)
    holding.join()
    assert obtained.credentials.session_token


def test_a_helper_goes_on_with_its_answer_when_all_processes_of_a_job_are_told_to_end(cloud: Cloud) -> None:
    """Its caller is told, too, and ends it when it is right; before that its end would be a failure in the log."""
    with socket.create_server(("127.0.0.1", 0)) as service:

        def answer_late() -> None:
            connection, _ = service.accept()
            with connection:
                connection.recv(4096)  # asked for IMDSv2's token
                wait_for(lambda: psutil.Process().children())[0].terminate()
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        answering = threading.Thread(target=answer_late)
        answering.start()
        environ = {**cloud.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{service.getsockname()[1]}"}
        with pytest.raises(Unavailable) as raised:
            call_blocking(UNASKED, environ=environ)
        answering.join()
    assert raised.value.code == "metadata-disabled"


def test_a_throttled_service_says_how_long_it_wants_to_be_left_alone(cloud: Cloud) -> None:
    for service in ("google-metadata", "sts"):
        cloud.simulator.fault(service, status=429, headers={"Retry-After": "17"})
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    for failure in (cloud.refused(GoogleMachineToken()), cloud.refused(AwsLocalIdentity(), **keys)):
        assert (failure.code, failure.retry, failure.retry_after_s) == ("throttled", True, 17.0)


@both
def test_a_helper_that_cannot_be_started_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Unavailable) as raised:
        ask(UNASKED, deadline_s=20, environ={})
    assert raised.value.code == "helper-not-started"


def test_cancelling_ends_the_helper(interpreter: Callable[[str], None]) -> None:
    interpreter(f"exec sleep {FOREVER}")

    async def give_up() -> None:
        task = asyncio.create_task(call(UNASKED, environ={"PATH": os.environ["PATH"]}))
        await asyncio.to_thread(wait_for, lambda: psutil.Process().children())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert gone("sleep", FOREVER)


def test_a_request_that_would_block_the_pipe_is_not_sent() -> None:
    with pytest.raises(InternalError):
        call_blocking(AwsMachineIdentity(region="x" * helper_call.MAX_REQUEST_BYTES), deadline_s=1, environ={})
    assert MAX_REPLY_BYTES > helper_call.MAX_REQUEST_BYTES


@pytest.fixture
def silent_proxy() -> Iterator[str]:
    """Return the address of a proxy that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_proxy_that_hangs_does_not_hold_up_the_deadline(cloud: Cloud, silent_proxy: str) -> None:
    environ = {**cloud.environ, "HTTPS_PROXY": silent_proxy, "AWS_ENDPOINT_URL_STS": "https://sts.example.test"}
    environ |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x", **WITHOUT_MACHINE}
    with pytest.raises(Unavailable) as raised:
        call_blocking(AwsLocalIdentity(), deadline_s=1, environ=environ)
    assert raised.value.code == "timed-out"


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
        thread.join(scaled(5))
    assert obtained.credentials.session_token
    assert [line.split()[:2] for line in asked] == [[b"CONNECT", b"sts.example.test:443"]]


def test_secrets_are_in_neither_argv_nor_environment_of_the_helper(cloud: Cloud, canary: str) -> None:
    session = AwsCredentials(
        access_key_id="ASIA", secret_access_key=Secret(canary), session_token=Secret(canary), region="eu-central-1"
    )
    request = AwsAssumeRole(role_arn="arn:aws:iam::123456789012:role/r", session=session)
    helper = asyncio.run(seen_while_it_asks(cloud, request, cloud.environ))
    assert "credagent.cloud_helper" in helper.command_line
    assert "PATH=" in helper.environ
    assert canary not in helper.command_line + helper.environ


def test_a_helper_cannot_be_looked_into_by_its_own_user(cloud: Cloud) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    helper = asyncio.run(seen_while_it_asks(cloud, AwsLocalIdentity(), {**cloud.environ, **WITHOUT_MACHINE, **keys}))
    assert helper.owner == 0  # the kernel gives the files of a process that must not be looked into to root
    assert "Max core file size        0                    0" in helper.limits


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
        "from credagent.cloud_helper.helper_call import call_blocking\n"
        "from credagent.cloud_helper.job_requests import AwsLocalIdentity\n"
        "call_blocking(AwsLocalIdentity(), deadline_s=3600)\n"
    )
    cloud.simulator.fault("sts", hang=True)
    environ = {**cloud.environ, **WITHOUT_MACHINE, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    with subprocess.Popen([sys.executable, "-c", program], env=environ) as caller:
        wait_for(lambda: cloud.simulator.log("sts"))
        helpers = psutil.Process(caller.pid).children()
        caller.kill()
    assert helpers
    wait_for(lambda: not any(helper.is_running() for helper in helpers))


def test_nowhere_is_nowhere() -> None:
    """The proxy by which these tests keep packets on the machine must not exist."""
    with (
        pytest.raises(OSError),
        socket.create_connection(("127.0.0.1", int(NOWHERE.rpartition(":")[2])), timeout=scaled(1)),
    ):
        pass
