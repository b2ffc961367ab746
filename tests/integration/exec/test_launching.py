"""A program under `exec`: signals, orphans, exit statuses, terminal, restarts. Real processes, no agent."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.ending import kill_tree
from tests.patience import scaled

DRIVER = str(Path(__file__).with_name("driver.py"))

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def renewals(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "renewals")
    return tmp_path / "renewals"


@pytest.fixture
def start(renewals: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def _start(*command: str, on_renewal: str = "none", **options: object) -> "subprocess.Popen[str]":
        arguments = [sys.executable, DRIVER, on_renewal, str(renewals), "--", *command]
        pipes: dict[str, Any] = {**dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), **options}
        started.append(subprocess.Popen(arguments, text=True, **pipes))
        return started[-1]

    yield _start
    for process in started:
        kill_tree(process)
        process.communicate()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 255", 255)],
)
def test_it_ends_as_its_program_ends(start: Start, script: str, status: int) -> None:
    assert start("sh", "-c", script).wait(scaled(10)) == status


def test_a_missing_program_is_127_and_one_that_is_no_program_126(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    missing, data = start("no-such-program-here"), start(str(tmp_path / "data"))
    assert (missing.wait(scaled(10)), data.wait(scaled(10))) == (127, 126)
    assert "no-such-program-here: No such file" in missing.communicate()[1]


def test_sigterm_reaches_the_program_and_its_own_end_is_the_end(start: Start) -> None:
    process = start(sys.executable, "-c", _ENDING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.readline() == "told to end\n"
    assert process.wait(scaled(10)) == 7


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN + 3])
def test_signals_that_make_sense_are_passed_on(start: Start, number: int) -> None:
    process = start(sys.executable, "-c", _NOTING.format(number=int(number)))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == f"got {int(number)}\n"


def test_orphans_leave_no_zombies(start: Start) -> None:
    process = start("sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; echo done; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    _soon(lambda: len(psutil.Process(process.pid).children(recursive=True)) == 1)  # a zombie would be one more


def test_stdin_is_the_programs(start: Start) -> None:
    assert start("cat").communicate("through\n", timeout=scaled(10))[0] == "through\n"


def test_a_closed_pipe_ends_a_program_as_it_would_anywhere(start: Start) -> None:
    process = start("sh", "-c", "yes | head -1; trap - PIPE; kill -PIPE $$")
    assert process.wait(scaled(10)) == 128 + signal.SIGPIPE


def test_ctrl_c_reaches_the_program_once(tmp_path: Path, renewals: Path) -> None:
    reached = tmp_path / "reached"
    script = f"trap 'echo key >>{reached}' INT; trap 'echo later >>{reached}' USR1; trap 'exit 9' TERM"
    script += "; echo ready; while :; do sleep 0.1; done"
    pid, terminal = pty.fork()
    if pid == 0:
        arguments = [sys.executable, DRIVER, "none", str(renewals), "--", "sh", "-c", script]
        os.execv(sys.executable, arguments)  # noqa: S606  on the terminal's other end
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    _soon(reached.exists)
    # A second SIGINT, passed on by exec, would come before what is passed on after it.
    os.kill(pid, signal.SIGUSR1)
    _soon(lambda: "later" in reached.read_text())
    assert reached.read_text() == "key\nlater\n"
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    os.close(terminal)


def test_ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_goes_on(renewals: Path) -> None:
    driver = f"{sys.executable} {DRIVER} none {renewals} -- sh -c 'echo up; read -r word; echo got $word'"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "shell> "
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606  on the terminal's other end
    _type(terminal, f"{driver}\n", until="up\r\n")
    _type(terminal, "\x1a", until="Stopped")
    _type(terminal, "echo in $((40 + 2))\n", until="in 42")
    _type(terminal, "fg\n", until="-- sh")
    _type(terminal, "hello\n", until="got hello")
    _type(terminal, "exit 0\n", until="exit")
    os.waitpid(pid, 0)
    os.close(terminal)


def test_a_pager_reads_its_keys_from_the_terminal_beside_a_pipe(renewals: Path) -> None:
    driver = (
        f"echo piped | {sys.executable} {DRIVER} none {renewals} -- sh -c 'cat; read -r key </dev/tty; echo key $key'"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "-c", driver])  # noqa: S606  on the terminal's other end
    _type(terminal, "", until="piped")
    _type(terminal, "q\n", until="key q")
    os.waitpid(pid, 0)
    os.close(terminal)


def _type(terminal: int, keys: str, *, until: str) -> None:
    os.write(terminal, keys.encode())
    seen = ""
    give_up = time.monotonic() + scaled(30)
    while until not in seen:
        assert time.monotonic() < give_up, seen
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 1024).decode(errors="replace")


def _soon(happened: Callable[[], object]) -> None:
    give_up = time.monotonic() + scaled(15)
    while not happened():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def _below(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_renewal_can_be_a_signal(start: Start, renewals: Path) -> None:
    process = start(sys.executable, "-c", _NOTING.format(number=int(signal.SIGUSR1)), on_renewal="signal:USR1")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    renewals.write_text(".")
    assert process.stdout.readline() == f"got {int(signal.SIGUSR1)}\n"


def test_a_renewal_can_be_a_restart_that_ends_the_whole_tree(start: Start, renewals: Path) -> None:
    script = "sleep 1000 & (setsid sleep 1000 &) ; trap '' TERM; echo started $RENEWED; wait; wait; sleep 1000"
    process = start("sh", "-c", script, on_renewal="restart")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    _soon(lambda: [child.name() for child in _below(process)].count("sleep") == 2)
    before = _below(process)
    renewals.write_text(".")
    assert process.stdout.readline() == "started 1\n"
    assert [child for child in before if child.is_running()] == []


def test_no_restart_follows_an_end_that_was_asked_for(start: Start, renewals: Path) -> None:
    script = "trap '' INT; trap 'echo ending; read -r _; exit 5' TERM; echo started; while :; do sleep 0.1; done"
    process = start("sh", "-c", script, on_renewal="restart", env={**os.environ, "GRACE_S": "600"})
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    renewals.write_text(".")
    assert process.stdout.readline() == "ending\n"  # told so by the restart
    process.send_signal(signal.SIGINT)  # and now by somebody who wants an end
    assert process.communicate("\n", timeout=scaled(10)) == ("", "")
    assert process.returncode == 5


_ENDING = """
import signal, sys, time
def ended(*_):
    print("told to end", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, ended)
print("ready", flush=True)
time.sleep(60)
"""

_NOTING = """
import signal, time
signal.signal({number}, lambda number, _: print("got", int(number), flush=True))
print("ready", flush=True)
time.sleep(60)
"""
