"""What somebody else wrote is shown, and does nothing to the terminal."""

import io

import pytest

from credagent import log
from credagent.cli.commands.inspect import _show
from credagent.cli.commands.status import readable

HOSTILE = "ada\x1b[2J\x9b2J\u202e\nforged"
SLOT = dict.fromkeys(("principal", "expires_at", "renew_at", "statement", "required", "handover", "last_error"))


def test_status_and_inspect_show_a_bundles_texts_on_one_line_without_control(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = {
        "state": "ready",
        "generation": 1,
        "audience": HOSTILE,
        "slots": {"aws": {**SLOT, "origin": "bundle", "principal": HOSTILE}},
        "bundle": {"bundle_id": None, "refused": []},
        "workers": [],
        "public_key": None,
        "agent": {"uss_bytes": None, "version": "1", "pid": 1, "uptime_s": 1.0},
    }
    _show({"principal": HOSTILE, "scopes": [HOSTILE]})
    for line in (readable(document) + "\n" + capsys.readouterr().out).splitlines():
        assert line.isprintable()
        assert not line.startswith("forged")


def test_status_says_what_degraded_stands_for() -> None:
    refused = {"code": "empty", "channel": "file", "at": "…", "message": "…", "hint": ""}
    document = {
        "state": "degraded",
        "generation": 1,
        "audience": "",
        "slots": {},
        "bundle": {"bundle_id": None, "refused": [refused]},
        "problems": ["empty", "unreachable"],
        "workers": [],
        "public_key": None,
        "agent": {"uss_bytes": None, "version": "1", "pid": 1, "uptime_s": 1.0},
    }
    problems = [line for line in readable(document).splitlines() if line.startswith("problem")]
    assert problems == ["problem     unreachable: the agent's log says more (journalctl -u credagent)"]


def test_the_log_keeps_control_characters_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(log, "_sink", None)
    log.start("info", "console")
    log.warning("renewal_failed", why=HOSTILE, names=[HOSTILE])
    assert "forged" in written.getvalue()
    assert "\x1b[2J" not in written.getvalue()
    assert "\x9b" not in written.getvalue()
    assert written.getvalue().count("\n") == 1
