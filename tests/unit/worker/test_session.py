"""A process's session: present before the first task, replaced in place, never removed, and back after the agent."""

import errno
import os
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import credagent
from credagent.handover.unix.caller_access import AccessRules
from credagent.worker import credagent_worker
from credagent.worker.credagent_worker import Session, mark_sender, start
from tests.patience import scaled
from tests.standin import EMPTY_SLOTS, Running, StandIn

AWAITED = {"aws": {**EMPTY_SLOTS["aws"], "required": True}}


def soon(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + scaled(5)
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def begin(role: str = "worker", wait_s: float = scaled(5)) -> Session:
    session = start(role)
    assert session is not None
    assert session.wait(wait_s)
    return session


def test_the_first_application_scrubs_and_then_sets(agent: Running) -> None:
    os.environ |= {"AWS_PROFILE": "mine", "AWS_REGION": "mine", "DB": "old", "KEPT": "mine"}
    agent.agent.set({"AWS_REGION": "eu", "DB": "new"}, scrub=("AWS_PROFILE", "AWS_REGION", "NEVER_THERE"))
    session = begin()
    assert "AWS_PROFILE" not in os.environ
    assert (os.environ["AWS_REGION"], os.environ["DB"], os.environ["KEPT"]) == ("eu", "new", "mine")
    soon(lambda: [one.generation for one in agent.subscribers()] == [session.generation])


def test_a_change_is_applied_in_place_and_reported(agent: Running) -> None:
    agent.agent.set({"DB": "1"})
    begin()
    agent.replace({"DB": "2"}, scrub=("PATH",))
    soon(lambda: os.environ["DB"] == "2")
    assert "PATH" in os.environ  # what a running process has is not taken from it
    soon(lambda: [one.generation for one in agent.subscribers()] == [agent.agent.generation])


def test_a_value_that_is_no_longer_handed_out_stays(agent: Running) -> None:
    agent.agent.set({"DB": "1", "OTHER": "1"})
    begin()
    agent.replace({"OTHER": "2"})
    soon(lambda: os.environ["OTHER"] == "2")
    assert os.environ["DB"] == "1"


def test_a_value_that_arrives_late_is_added(agent: Running) -> None:
    begin()
    agent.replace({"DB": "late"})
    soon(lambda: os.environ.get("DB") == "late")


def test_what_is_withdrawn_is_overwritten_where_it_is_and_added_nowhere(agent: Running) -> None:
    agent.agent.set({"DB": "1"})
    begin()
    agent.replace({}, overwrite={"DB": "withdrawn", "NEVER_THERE": "withdrawn"})
    soon(lambda: os.environ["DB"] == "withdrawn")
    assert "NEVER_THERE" not in os.environ


@pytest.mark.parametrize("begun", [True, False])
def test_a_withdrawal_among_more_names_than_a_line_can_hold_is_in_place(agent: Running, *, begun: bool) -> None:
    """A sender who fills bundles with long names could make the withdrawal of his credentials impossible to read."""
    names = {f"N{number:05}_{'x' * 240}": "withdrawn" for number in range(9_000)}  # 4 MB, as names and as scrubbed ones
    os.environ["DB"] = "inherited"
    agent.agent.set({"DB": "1"})
    if begun:
        begin()
        assert os.environ["DB"] == "1"
    agent.replace({"OTHER": "2"}, overwrite={**names, "DB": "withdrawn"}, scrub=tuple(names))
    if not begun:
        begin()
    soon(lambda: os.environ.get("OTHER") == "2")
    assert os.environ["DB"] == "withdrawn"
    soon(lambda: [one.generation for one in agent.subscribers()] == [agent.agent.generation])


def test_a_withdrawn_value_that_is_scrubbed_first_does_not_come_back(agent: Running) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "inherited"
    agent.agent.set({}, overwrite={"AWS_ACCESS_KEY_ID": "withdrawn"}, scrub=("AWS_ACCESS_KEY_ID",))
    begin()
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_an_agent_that_restarts_is_found_again_and_nothing_is_lost_meanwhile(agent: Running) -> None:
    agent.agent.set({"DB": "1"})
    begin()
    agent.stop()
    agent.agent.set({}, settled=False)  # as after a restart, before every slot was tried
    agent.start()
    soon(agent.subscribers)
    assert os.environ["DB"] == "1"
    agent.replace({"DB": "2"})
    soon(lambda: os.environ["DB"] == "2")


def test_an_agent_that_has_not_tried_every_slot_is_waited_for(agent: Running) -> None:
    agent.agent.set({"DB": "half"}, settled=False)
    session = start("worker")
    assert session is not None
    soon(agent.subscribers)
    assert "DB" not in os.environ
    agent.replace({"DB": "whole"})
    assert session.wait(scaled(5))
    assert os.environ["DB"] == "whole"


def test_a_required_slot_is_waited_for_and_an_optional_one_is_not(agent: Running) -> None:
    agent.agent.set({"DB": "1"}, slots=AWAITED)
    session = start("worker")
    assert session is not None
    assert not session.wait(0.05)
    assert session.standing == "required but empty: aws"
    assert os.environ["DB"] == "1"  # what there is, is there
    agent.replace({"DB": "2"})
    soon(lambda: os.environ["DB"] == "2")
    assert session.wait(0)


def test_a_scheduler_runs_without_a_required_slot_since_dask_may_be_what_delivers(agent: Running) -> None:
    agent.agent.set({"DB": "1"}, slots=AWAITED)
    begin("scheduler")
    assert [one.role for one in agent.subscribers()] == ["scheduler"]


def test_without_an_agent_the_wait_ends_and_a_late_agent_still_supplies(path: str) -> None:
    session = start("worker")
    assert session is not None
    assert not session.wait(0.01)
    assert "no such file" in session.standing
    with Running(path, StandIn(DB="late")):
        soon(lambda: os.environ.get("DB") == "late")


def test_a_refused_caller_does_not_wait_and_says_so_in_one_line(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(AccessRules, "may_connect", lambda *_: False)
    with Running(path, StandIn(DB="1")):
        session = start("worker")
        assert session is not None
        assert not session.wait(scaled(5))
        assert "not allowed on the socket" in session.standing
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "WARNING"
    assert "DB" not in os.environ


def test_logs_name_names_and_never_values(agent: Running, canary: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    agent.agent.set({"DB": canary, "NUL": f"{canary}\0"})
    begin()
    agent.replace({"DB": canary[::-1]})
    soon(lambda: os.environ["DB"] == canary[::-1])
    assert "DB" in caplog.text
    assert canary not in caplog.text
    assert canary[::-1] not in caplog.text


def test_a_sender_is_never_supplied(agent: Running) -> None:
    agent.agent.set({"DB": "1"})
    mark_sender()
    assert start("worker") is None
    assert "DB" not in os.environ


def test_a_preload_and_a_plugin_of_one_process_share_a_session(agent: Running) -> None:
    """A plugin carries the module's text by value: it is another module with the same purpose."""
    copy: Any = types.ModuleType("carried_by_value")
    exec(Path(credagent_worker.__file__).read_text(), copy.__dict__)  # noqa: S102  as a plugin does it
    first = begin()
    second = copy.start("worker")
    assert second is first
    assert second.wait(scaled(5))
    assert len(agent.subscribers()) == 1
    second.stop()
    assert len(agent.subscribers()) == 1  # the preload is still there
    first.stop()
    soon(lambda: not agent.subscribers())


def test_a_forked_child_does_not_pass_for_its_parent(agent: Running) -> None:
    """The agent would list, and supply, a worker that has ended as long as a child of it lives."""
    agent.agent.set({"DB": "1"})
    session = begin()
    ours = session._connection.sock.fileno()
    child = os.fork()
    if child == 0:
        closed = False
        try:
            os.fstat(ours)
        except OSError:
            closed = True
        own = credagent_worker._process().session is None and os.environ["DB"] == "1"
        os._exit(0 if closed and own else 1)
    assert os.waitpid(child, 0)[1] == 0
    agent.replace({"DB": "2"})
    soon(lambda: os.environ["DB"] == "2")


def test_a_subprocess_inherits_present_values(agent: Running) -> None:
    agent.agent.set({"DB": "1"})
    begin()
    agent.replace({"DB": "2"})
    soon(lambda: os.environ["DB"] == "2")
    program = [sys.executable, "-S", "-c", "import os; print(os.environ['DB'])"]
    assert subprocess.run(program, capture_output=True, check=True).stdout == b"2\n"


@pytest.mark.parametrize(
    "said", [b'{"ok":true}\n', b'{"ok":true,"slots":[]}\n', b'{"ok":true,"slots":{},"settled":1}\n']
)
def test_an_answer_of_another_form_ends_nothing_but_the_connection(path: str, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        session = start("worker")
        assert session is not None
        session.wait(0)
        connection, _ = listener.accept()
        connection.sendall(said)
        connection.close()
        again, _ = listener.accept()
        again.close()


@pytest.mark.parametrize(
    ("text", "expected"), [("2m", 120), ("0s", 0), ("1h", 3600), ("soon", 30), ("", 30), ("-1s", 30)]
)
def test_how_long_to_wait_is_read_from_the_environment(text: str, expected: float) -> None:
    os.environ["CREDAGENT_WORKER_WAIT"] = text
    assert credagent_worker.configured_wait_s() == expected
    del os.environ["CREDAGENT_WORKER_WAIT"]
    assert credagent_worker.configured_wait_s() == 30


def without_files(*_: object, **__: object) -> socket.socket:
    raise OSError(errno.EMFILE, "too many open files")


def test_a_task_that_opens_too_many_files_costs_no_renewal_after_it(
    agent: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.agent.set({"DB": "1"})
    session = begin()
    exhausted = types.SimpleNamespace(socket=without_files, AF_UNIX=socket.AF_UNIX, SHUT_RDWR=socket.SHUT_RDWR)
    with monkeypatch.context() as patched:
        patched.setattr(credagent_worker, "socket", exhausted)
        agent.stop()
        agent.agent.set({"DB": "2"})
        agent.start()
        soon(lambda: "too many open files" in session.standing)
    soon(lambda: os.environ["DB"] == "2")


def test_a_defect_in_following_is_said_by_its_kind_and_followed_on(
    agent: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.agent.set({"DB": "1"})
    session = begin()
    with monkeypatch.context() as patched:
        patched.setattr(Session, "_apply", lambda *_, **__: 1 // 0)
        agent.replace({"DB": "2"})
        soon(lambda: "ZeroDivisionError" in session.standing)
    soon(lambda: os.environ["DB"] == "2")


def test_what_is_true_of_the_process_is_reported_without_a_value(agent: Running, canary: str) -> None:
    os.environ |= {"AWS_PROFILE": canary, "GOOGLE_APPLICATION_CREDENTIALS": canary, "NO_GCE_CHECK": "false"}
    agent.agent.set({"AWS_REGION": "eu", "DB": canary}, scrub=("AWS_PROFILE",))
    begin()
    soon(lambda: [one.process for one in agent.subscribers()] != [None])
    (told,) = [one.process for one in agent.subscribers()]
    assert told is not None
    assert canary not in repr(told)
    assert {"AWS_REGION", "GOOGLE_APPLICATION_CREDENTIALS"} <= set(told.names)
    assert {"AWS_PROFILE", "NO_GCE_CHECK", "DB"}.isdisjoint(told.names)
    assert told.changed == ()
    assert {"python", "credagent_worker", "botocore"} <= told.versions.keys()


def test_what_a_task_sets_later_is_reported_at_the_next_look(agent: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credagent_worker, "LOOK_S", 0.01)
    agent.agent.set({"AWS_REGION": "eu"})
    begin()
    os.environ |= {"AWS_PROFILE": "mine", "AWS_REGION": "us", "HTTP_PROXY": "http://proxy"}
    soon(lambda: [bool(one.process and "AWS_PROFILE" in one.process.names) for one in agent.subscribers()] == [True])
    (told,) = [one.process for one in agent.subscribers()]
    assert told is not None
    assert told.changed == ("AWS_REGION",)


def test_an_agent_that_takes_no_reports_gets_none(agent: Running) -> None:
    del agent.agent.document["takes_reports"]
    session = begin()
    soon(lambda: [one.generation for one in agent.subscribers()] == [session.generation])
    assert [one.process for one in agent.subscribers()] == [None]


def test_the_module_has_the_version_of_its_agent() -> None:
    assert credagent.__version__ == credagent_worker.VERSION
