"""`credagent seal`: from options to one sealed line, and never a value where others look."""

import io
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from credagent.bundle import envelope
from credagent.bundle.contents import Bundle, EnvironmentGrant
from credagent.bundle.opening import open_envelope
from credagent.credentials import Slot, Statement
from credagent.errors import ConfigurationError, PermissionRefused, UsageError

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command, Keys

CANARY = "canary-7f3a"


def opened(keys: "Keys", text: str) -> Bundle:
    return open_envelope(envelope.parse(text), [keys.recipient])


def variables(bundle: Bundle) -> dict[str, str]:
    grant = bundle.grant(Slot.ENVIRONMENT)
    assert isinstance(grant, EnvironmentGrant)
    return {name: value.reveal() for name, value in grant.variables.items()}


def test_a_variable_comes_from_the_environment_and_is_shown_by_name_only(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_TOKEN", CANARY)
    assert command("seal", *keys.sealing("--aws", "none", "--env", "DB_TOKEN")) == 0
    shown = capsys.readouterr()
    assert variables(opened(keys, shown.out)) == {"DB_TOKEN": CANARY}
    assert CANARY not in shown.out + shown.err
    assert "environment: DB_TOKEN" in shown.err
    assert keys.recipient.key_id in shown.err


def test_out_is_private_from_its_first_byte(keys: "Keys", command: "Command") -> None:
    out = keys.folder / "bundle"
    command("seal", *keys.sealing("--aws", "none", "--out", str(out)))
    assert os.stat(out).st_mode & 0o777 == 0o600
    bundle = opened(keys, out.read_text())
    assert set(bundle.slots.values()) == {Statement.DECLINED}
    assert bundle.not_after - bundle.issued_at == timedelta(days=30)


def test_a_file_of_variables_is_read_line_by_line(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    (keys.folder / "env").write_text("# comment\n\nexport A=1\nB='two words'\nC=x=y\n")
    command("seal", *keys.sealing("--aws", "none", "--env-file", str(keys.folder / "env"), "--valid-for", "1h"))
    bundle = opened(keys, capsys.readouterr().out)
    assert variables(bundle) == {"A": "1", "B": "two words", "C": "x=y"}
    assert bundle.not_after - bundle.issued_at == timedelta(hours=1)


def test_variables_come_by_standard_input_too(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"A=1\n")))
    command("seal", *keys.sealing("--aws", "none", "--env-file", "-"))
    assert variables(opened(keys, capsys.readouterr().out)) == {"A": "1"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--env", f"DB_TOKEN={CANARY}"),
        ("--env", "NOT_SET_ANYWHERE"),
        ("--env", "1x"),
        ("--aws", "mine"),
        ("--assume-role", "reader"),
        ("--assume-role", "arn:aws:iam::123456789012:role/a", "--assume-role", "arn:aws:iam::123456789012:role/b"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_repeats_no_value(
    keys: "Keys", command: "Command", wrong: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as error:
        command("seal", *keys.sealing(*wrong))
    assert CANARY not in f"{error.value}{error.value.hint}"


@pytest.mark.parametrize("content", [b"no sign\n", b"1X=2\n", b"\xff\xfe=1\n"])
def test_a_broken_file_of_variables_is_reported_by_line_and_not_repeated(
    keys: "Keys", command: "Command", content: bytes
) -> None:
    (keys.folder / "env").write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        command("seal", *keys.sealing("--aws", "none", "--env-file", str(keys.folder / "env")))
    assert "no sign" not in str(error.value)


def test_a_signing_key_that_others_can_read_is_refused(keys: "Keys", command: "Command") -> None:
    (keys.folder / "sender.key").chmod(0o644)
    with pytest.raises(PermissionRefused):
        command("seal", *keys.sealing("--aws", "none"))


def test_a_recipient_file_that_others_can_write_is_refused(keys: "Keys", command: "Command") -> None:
    (keys.folder / "recipient.pub").chmod(0o666)
    with pytest.raises(PermissionRefused):
        command("seal", *keys.sealing("--aws", "none"))


@pytest.mark.parametrize("recipient", ["credagent-recipient:x-wing:AAAA", "/nowhere.pub", "aws-kms:"])
def test_a_recipient_that_is_no_key_is_said_before_anything_is_asked(
    keys: "Keys", command: "Command", recipient: str
) -> None:
    with pytest.raises(ConfigurationError):
        command("seal", *keys.sealing("--recipient", recipient))


def test_two_bundles_of_one_sender_never_carry_one_number(
    keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = []
    for _ in range(3):
        command("seal", *keys.sealing("--aws", "none"))
        numbers.append(envelope.parse(capsys.readouterr().out).header.sequence)
    assert numbers == sorted(set(numbers))
