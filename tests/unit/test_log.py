"""What a line of the log begins with: a priority where the journal reads it, nothing elsewhere."""

import os

import pytest

from credagent import log


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
