"""`credagent withdraw`: the named slots are taken back, the others are as the options say."""

from typing import TYPE_CHECKING

import pytest

from credagent.bundle import envelope
from credagent.bundle.opening import open_envelope
from credagent.credentials import Slot, Statement

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command, Keys


def test_a_withdrawn_slot_needs_no_local_credentials(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("withdraw", *keys.sealing("aws", "environment")) == 0
    shown = capsys.readouterr()
    bundle = open_envelope(envelope.parse(shown.out), [keys.recipient])
    assert bundle.slots == {
        Slot.AWS: Statement.WITHDRAWN,
        Slot.GOOGLE: Statement.DECLINED,
        Slot.ENVIRONMENT: Statement.WITHDRAWN,
    }
    assert "aws: withdrawn" in shown.err


def test_the_other_slots_are_as_the_options_say(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "1")
    command("withdraw", *keys.sealing("aws", "--env", "X"))
    bundle = open_envelope(envelope.parse(capsys.readouterr().out), [keys.recipient])
    assert bundle.statement(Slot.ENVIRONMENT) is Statement.GRANTED


def test_a_slot_that_is_none_is_a_usage_error(keys: "Keys", command: "Command") -> None:
    with pytest.raises(SystemExit):
        command("withdraw", *keys.sealing("azure"))
