"""`credagent exec` with real agents: its own and another's, renewals, crashes, other users."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.canary import CANARY
from tests.integration.exec.conftest import Node
from tests.patience import scaled

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ECHO = ("sh", "-c", 'echo "$DB_TOKEN"; read -r _')


def test_it_is_the_agent_where_there_is_none(node: Node) -> None:
    node.deliver()
    process = node.start("exec", "--", *ECHO)
    assert _line(process) == CANARY
    assert _tree(process) == ["agent", "sh"]
    process.communicate("\n", timeout=scaled(10))
    assert process.returncode == 0
    assert not (node.folder / "run" / "agent.sock").exists()


def test_it_attaches_to_the_agent_that_runs_and_becomes_the_program(node: Node) -> None:
    node.deliver()
    node.start("run")
    node.until((node.folder / "run" / "agent.sock").exists)
    process = node.start("exec", "--", *ECHO)
    assert _line(process) == CANARY
    assert psutil.Process(process.pid).name() == "sh"


def test_a_wrong_configuration_keeps_no_program_from_an_agent_that_answers(node: Node) -> None:
    node.deliver()
    agent = node.start("run")
    node.until((node.folder / "run" / "agent.sock").exists)
    wrong = {"CREDAGENT_LOG_LEVEL": "loud"}
    done = node.run("exec", "--", "sh", "-c", 'echo "$DB_TOKEN"', **wrong)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{CANARY}\n", "")
    agent.terminate()
    agent.wait(scaled(10))
    done = node.run("exec", "--", "echo", "started", **wrong)
    assert (done.returncode, done.stdout) == (78, "")
    assert "CREDAGENT_LOG_LEVEL" in done.stderr


def test_dask_below_it_loads_the_workers_side(node: Node) -> None:
    script = 'echo "$PYTHONPATH|$DASK_DISTRIBUTED__WORKER__PRELOAD|$CREDAGENT_SOCKET"'
    process = node.start("exec", "--", "sh", "-c", script, environ={"PYTHONPATH": "/of/the/user"})
    path, preload, sock = _line(process).split("|")
    assert path.startswith("/of/the/user:")
    assert (Path(path.split(":")[1]) / "credagent_worker.py").exists()
    assert preload == "['credagent_worker']"
    assert sock == str(node.folder / "run" / "agent.sock")


def test_what_would_shadow_the_credentials_is_scrubbed(node: Node) -> None:
    node.environ |= {"CREDAGENT_AWS_FALLBACK": "never", "AWS_PROFILE": "mine", "AWS_SECURITY_TOKEN": "stale"}
    process = node.start("exec", "--", "sh", "-c", 'echo "<$AWS_PROFILE$AWS_SECURITY_TOKEN>"')
    assert _line(process) == "<>"


def test_an_agent_that_crashes_beside_its_program_comes_back(node: Node) -> None:
    node.deliver()
    process = node.start("exec", "--", *ECHO)
    assert _line(process) == CANARY
    for _ in range(2):
        agent = _agent(process)
        assert agent is not None
        agent.kill()
        node.until(lambda: _agent(process) != agent and _answers(node))  # noqa: B023  waited for in this turn
    assert "agent_ended" in node.log.read_text()
    process.communicate("\n", timeout=scaled(10))
    assert process.returncode == 0


def test_a_program_is_restarted_with_what_was_renewed(node: Node) -> None:
    node.deliver("first")
    process = node.start(
        "exec", "--on-renewal", "restart", "--spread", "0s", "--", "sh", "-c", 'echo "$DB_TOKEN"; sleep 60'
    )
    assert _line(process) == "first"
    node.deliver(CANARY)
    assert _line(process) == CANARY
    status = json.loads(node.run("status", "--json").stdout)
    assert [(worker["role"], worker["generation"]) for worker in status["workers"]] == [("exec", status["generation"])]


def test_a_program_is_signalled_once_for_a_renewal(node: Node) -> None:
    node.deliver("first")
    script = "trap 'echo renewed' USR1; echo up; while :; do sleep 0.05; done"
    process = node.start("exec", "--on-renewal", "signal:USR1", "--", "sh", "-c", script)
    assert _line(process) == "up"
    node.deliver("second")
    assert _line(process) == "renewed"


def test_sigterm_before_the_program_runs_ends_the_wait(node: Node) -> None:
    node.environ |= {"CREDAGENT_AWS_REQUIRED": "true", "CREDAGENT_BUNDLE_CHANNELS": f"file:{node.inbox}"}
    process = node.start("exec", "--", "sh", "-c", "echo never")
    node.until(lambda: (said := node.status()).get("workers") and said["state"] == "unavailable")  # and it is told so
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=scaled(10))[0] == ""
    assert process.returncode == 128 + signal.SIGTERM


def test_an_empty_required_slot_holds_back_tasks_and_not_the_program_where_dask_may_deliver(node: Node) -> None:
    node.environ |= {"CREDAGENT_AWS_REQUIRED": "true"}
    assert _line(node.start("exec", "--", "echo", "started")) == "started"


def test_a_named_agent_is_waited_for_and_never_replaced(node: Node) -> None:
    elsewhere = {"CREDAGENT_SOCKET": str(node.folder / "mounted.sock"), "CREDAGENT_WORKER_WAIT": "1s"}
    done = node.run("exec", "--", "echo", "started", **elsewhere, CREDAGENT_WORKER_MISSING="exit")
    assert (done.returncode, done.stdout) == (69, "")
    done = node.run("exec", "--", "echo", "started", **elsewhere)
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert not (node.folder / "run").exists()


def test_without_the_named_agent_a_required_slot_holds_back_the_program(node: Node) -> None:
    node.environ |= {"CREDAGENT_AWS_REQUIRED": "true", "CREDAGENT_BUNDLE_CHANNELS": f"file:{node.inbox}"}
    node.environ |= {"CREDAGENT_SOCKET": str(node.folder / "mounted.sock"), "CREDAGENT_WORKER_WAIT": "1s"}
    process = node.start("exec", "--", "echo", "started")
    node.until(lambda: "waits_for_agent" in node.log.read_text())
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=scaled(10))[0] == ""
    done = node.run("exec", "--", "echo", "started", CREDAGENT_WORKER_MISSING="exit")
    assert (done.returncode, done.stdout) == (69, "")
    assert "waits_for_agent" not in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        {"CREDAGENT_BUNDLE_EXPECT": "required"},
        {"CREDAGENT_AWS_FALLBACK": "never", "CREDAGENT_GOOGLE_FALLBACK": "never"},
        {"CREDAGENT_BUNDLE_EXPECT": "required", "CREDAGENT_AWS_HANDOVER": "endpoint", "CREDAGENT_AWS_REQUIRED": "true"},
    ],
)
def test_without_the_named_agent_what_may_not_fall_back_is_closed(node: Node, settings: dict[str, str]) -> None:
    open_keys = {"AWS_EC2_METADATA_DISABLED": "false", "NO_GCE_CHECK": "false", "AWS_PROFILE": "of-the-machine"}
    elsewhere = {"CREDAGENT_SOCKET": str(node.folder / "mounted.sock"), "CREDAGENT_WORKER_WAIT": "1s"}
    done = node.run("exec", "--", "env", **open_keys, **elsewhere, **settings)
    lines = done.stdout.splitlines()
    assert {"AWS_EC2_METADATA_DISABLED=true", "NO_GCE_CHECK=true", "GCE_METADATA_HOST=127.0.0.1:1"} <= set(lines)
    assert "AWS_PROFILE=of-the-machine" not in lines


def test_an_agent_that_cannot_start_says_why_and_nothing_is_run(node: Node) -> None:
    done = node.run("exec", "--", "echo", "started", CREDAGENT_BUNDLE_RECIPIENT_KEYS="file:/no/such.key")
    assert (done.returncode, done.stdout) == (78, "")
    assert "hint:" in done.stderr


@root_only
def test_root_drops_the_program_and_the_program_may_ask(node: Node) -> None:
    node.deliver()
    node.let_others_pass()
    script = 'echo "$(id -u) $(id -G) $HOME $USER $DB_TOKEN"; read -r _'
    process = node.start("exec", "--user", "nobody", "--", "sh", "-c", script)
    uid, groups, home, user, token = _line(process).split()
    assert (uid, groups, home, user, token) == ("65534", "65534", "/nonexistent", "nobody", CANARY)
    assert "tasks_share_uid" not in node.log.read_text()


@root_only
def test_the_agent_says_so_when_tasks_share_its_uid(node: Node) -> None:
    process = node.start("exec", "--", "true")
    process.communicate(timeout=scaled(20))
    assert "tasks_share_uid" in node.log.read_text()


@root_only
def test_another_user_of_the_machine_gets_nothing(node: Node) -> None:
    node.deliver()
    node.let_others_pass()
    process = node.start("exec", "--", *ECHO)
    assert _line(process) == CANARY
    node.environ["CREDAGENT_SOCKET"] = str(node.folder / "run" / "agent.sock")
    asking = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]
    stolen = f"cat {node.folder}/run/worker.env {node.folder}/run/inbox/bundle /proc/{process.pid}/environ"
    done = subprocess.run([*asking, stolen], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def _tree(process: "subprocess.Popen[str]") -> list[str]:
    return sorted("agent" if name.startswith("python") else name for _, name in _children(process))


def _agent(process: "subprocess.Popen[str]") -> psutil.Process | None:
    return next((child for child, name in _children(process) if name.startswith("python")), None)


def _children(process: "subprocess.Popen[str]") -> list[tuple[psutil.Process, str]]:
    """Return those that are alive, with their names: one may end between the list and the question for its name."""
    found = []
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append((child, child.name()))
    return found


def _answers(node: Node) -> bool:
    return (node.folder / "run" / "agent.sock").exists() and node.run("status").returncode in (0, 1)
