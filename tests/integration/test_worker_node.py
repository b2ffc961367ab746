"""Many processes, other users and other namespaces on one node, each with the real module and the real socket."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credagent.handover.unix.caller_access import AccessRules
from tests.integration.worker_cluster import WORKER_PATH, short_folder
from tests.standin import Running, StandIn

STRANGER, WORKER = 65_531, 65_532
PROCESSES = 64

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")

PROGRAM = """
import json, logging, os, random, sys, threading, time  # as Dask has them: another user may read no library
sys.path.insert(0, sys.argv[1])
import credagent_worker
user = int(sys.argv[2])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
session = credagent_worker.start("worker")
complete = session.wait()
value = os.environ.get("DB")
print(json.dumps({"complete": complete, "standing": session.standing, "value": value}), flush=True)
while sys.argv[3] == "follow":
    if os.environ["DB"] != value:
        value = os.environ["DB"]
        print(json.dumps({"value": value}), flush=True)
    time.sleep(0.05)
"""


def worker(
    path: str, *, user: int = 0, follow: bool = False, before: tuple[str, ...] = (), wait: str = "30s"
) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-S", "-c", PROGRAM, WORKER_PATH, str(user), "follow" if follow else "once"]
    environ = {**os.environ, "CREDAGENT_SOCKET": path, "CREDAGENT_WORKER_WAIT": wait}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)


def said(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def test_a_new_value_reaches_each_of_64_processes(folder: Path) -> None:
    with Running(str(folder / "agent.sock"), StandIn(DB="1")) as agent:
        processes = [worker(agent.path, follow=True) for _ in range(PROCESSES)]
        try:
            assert all(said(process)["value"] == "1" for process in processes)
            assert len(agent.subscribers()) == PROCESSES
            agent.replace({"DB": "2"})
            assert all(said(process)["value"] == "2" for process in processes)
        finally:
            for process in processes:
                process.send_signal(signal.SIGKILL)
                process.communicate()


@as_root
def test_another_user_is_refused_clearly_and_does_not_wait(folder: Path) -> None:
    admission = AccessRules(own_uid=0, users=frozenset({WORKER}))
    with Running(str(folder / "agent.sock"), StandIn(DB="1"), admission) as agent:
        found = said(stranger := worker(agent.path, user=STRANGER, wait="1h"))
        assert found["value"] is None
        assert f"user {STRANGER} is not allowed on the socket" in found["standing"]
        assert said(admitted := worker(agent.path, user=WORKER))["value"] == "1"
        assert stranger.wait() == admitted.wait() == 0


@as_root
@pytest.mark.parametrize("namespaces", [("--pid", "--fork"), ("--mount", "--ipc", "--uts", "--net"), ("--cgroup",)])
def test_a_process_in_namespaces_of_its_own_is_supplied(folder: Path, namespaces: tuple[str, ...]) -> None:
    """As in a container into which the runtime folder is mounted."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare here")
    with Running(str(folder / "agent.sock"), StandIn(DB="1")) as agent:
        process = worker(agent.path, before=(unshare, *namespaces))
        output, _ = process.communicate()
        if process.returncode != 0 and not output:
            pytest.skip("this kernel gives no namespace to tests")
        assert json.loads(output)["value"] == "1"


@as_root
def test_root_of_a_user_namespace_is_who_it_is_outside(folder: Path) -> None:
    """It is root inside only: the kernel gives the agent the user that stands behind it."""
    admission = AccessRules(own_uid=0)
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("no unshare here")
    with Running(str(folder / "agent.sock"), StandIn(DB="1"), admission) as agent:
        become = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
        command = [*become, "unshare", "--user", "--map-root-user", "python3", "-c", CONNECT, agent.path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
        if done.returncode != 0:
            pytest.skip("this kernel gives no user namespace to tests")
        assert json.loads(done.stdout)["code"] == "not-allowed"


CONNECT = """
import os, socket, sys
assert os.getuid() == 0
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(s.recv(1000).decode())
"""
