"""What the log writes: a priority and fields where the journal reads it, a line elsewhere."""

import io
import json
import os
import socket
from functools import partial
from pathlib import Path

import pytest

from credagent import journal, log


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what systemd would call this process's standard error."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    found = os.fstat(2)
    return f"{found.st_dev}:{found.st_ino}"


def test_the_journal_is_told_each_priority(stderr: str) -> None:
    journal = {"JOURNAL_STREAM": stderr}
    assert [log.priority_prefix(level, journal) for level in log.LEVELS] == ["<7>", "<6>", "<4>", "<3>"]


def test_a_terminal_a_file_and_an_inherited_variable_get_none(stderr: str) -> None:
    assert log.priority_prefix("error", {}) == ""
    assert log.priority_prefix("error", {"JOURNAL_STREAM": f"{stderr}1"}) == ""


def test_each_line_of_a_trace_has_the_priority(stderr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stderr)
    assert log._prioritised("warning", "one\ntwo") == "<4>one\n<4>two"


def read(datagram: bytes) -> dict[str, str]:
    """Read a datagram as the protocol has it: a name, a length, a value."""
    fields = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        assert rest[8 + length : 9 + length] == b"\n"
        fields[name.decode()] = rest[8 : 8 + length].decode()
        datagram = rest[9 + length :]
    return fields


def test_the_journal_gets_each_field_and_the_line_that_it_always_had(
    stderr: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = io.StringIO()
    monkeypatch.setenv("JOURNAL_STREAM", stderr)
    monkeypatch.setattr(journal, "opened", partial(journal.opened, str(tmp_path / "socket")))
    monkeypatch.setattr(log, "_sink", None)
    monkeypatch.setattr("sys.stderr", written)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        log.start("info", "json")
        log.warning("bundle_refused", code="expired", names=["a", "b"], failures=3, hint="two\nlines", absent=None)
        fields = read(listening.recv(65_536))
    assert written.getvalue() == ""
    assert json.loads(fields.pop("MESSAGE"))["event"] == "bundle_refused"
    assert fields.pop("CREDAGENT_AT").endswith("Z")
    assert fields == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "credagent",
        "CREDAGENT_LEVEL": "warning",
        "CREDAGENT_EVENT": "bundle_refused",
        "CREDAGENT_CODE": "expired",
        "CREDAGENT_NAMES": '["a", "b"]',
        "CREDAGENT_FAILURES": "3",
        "CREDAGENT_HINT": "two\\nlines",
    }
    log.warning("bundle_refused", code="expired")  # nobody listens any more: the line is not lost
    assert written.getvalue().startswith('<4>{"at": ')


def test_no_journal_is_opened_where_none_listens_or_stderr_is_another(
    stderr: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert journal.opened(str(tmp_path / "nothing")) is None
    asked: list[str] = []
    monkeypatch.setattr(journal, "opened", lambda: asked.append("journal"))
    monkeypatch.setattr(log, "_sink", None)
    log.start("info", "json")
    monkeypatch.setenv("JOURNAL_STREAM", stderr)
    log.start("info", "console")
    assert asked == []
    log.start("info", "json")
    assert asked == ["journal"]
