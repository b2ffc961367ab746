"""What somebody else wrote is shown, and does nothing to the terminal."""

import io

import pytest

from credagent import log
from credagent.cli.commands.inspect import _show
from credagent.cli.status_page import View, page, slot_page
from tests.unit.cli.status_documents import NOW, bundle, refusal, slot, status

HOSTILE = "ada\x1b[2J\x9b2J\u202e\nforged"


def test_status_and_inspect_show_a_bundles_texts_on_one_line_without_control(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = status(
        audience=HOSTILE,
        aws=slot("bundle", principal=HOSTILE),
        bundle=bundle(sender_name=HOSTILE, channel=HOSTILE, refused=[refusal("empty", message=HOSTILE, hint=HOSTILE)]),
        problems=[HOSTILE],
    )
    _show({"principal": HOSTILE, "scopes": [HOSTILE]})
    view = View(now=NOW, width=40)
    shown = "\n".join([*page(document, view), *slot_page("aws", document, view)]) + capsys.readouterr().out
    for line in shown.splitlines():
        assert line.isprintable()
        assert not line.startswith("forged")


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
