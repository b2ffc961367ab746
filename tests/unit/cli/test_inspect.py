"""`credagent inspect`: what is claimed, whether it is signed, names and expiries; never a value."""

import json
from typing import TYPE_CHECKING

import pytest

from credagent.errors import ConfigurationError, Exit, NotForThisMachine, Refused

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command, Keys

CANARY = "canary-91bc"


@pytest.fixture
def bundle(keys: "Keys", command: "Command", monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DB_TOKEN", CANARY)
    out = keys.folder / "bundle"
    command("seal", *keys.sealing("--aws", "none", "--env", "DB_TOKEN", "--out", str(out)))
    return str(out)


def test_without_a_key_it_shows_what_the_envelope_says(
    bundle: str, keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("inspect", bundle, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["signature"] == "valid"
    assert facts["audience"] == "lab"
    assert facts["sender_key"] == keys.sender.public_key.line
    assert facts["recipients"] == [f"x-wing:{keys.recipient.key_id}"]
    assert "inside" not in facts


def test_with_the_key_it_shows_names_and_no_value(
    bundle: str, keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ((), ("--json",)):
        capsys.readouterr()
        assert command("inspect", bundle, "--recipient-key", str(keys.folder / "recipient.key"), *form) == 0
        shown = capsys.readouterr()
        assert "DB_TOKEN" in shown.out
        assert CANARY not in shown.out + shown.err


def test_labels_are_apart_from_what_they_name(
    bundle: str, keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    command("inspect", bundle, "--recipient-key", str(keys.folder / "recipient.key"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line and not line.endswith(":")]
    assert all(": " in line for line in lines)


def test_a_key_that_is_none_is_named_by_its_file(bundle: str, keys: "Keys", command: "Command") -> None:
    path = keys.folder / "public.key"
    path.touch(mode=0o600)
    path.write_text(keys.recipient.public_key.line)
    with pytest.raises(ConfigurationError, match=r"public\.key"):
        command("inspect", bundle, "--recipient-key", str(path))


def test_a_bundle_that_was_changed_is_shown_as_such(
    bundle: str, keys: "Keys", command: "Command", capsys: pytest.CaptureFixture[str]
) -> None:
    path = keys.folder / "bundle"
    text = path.read_text()
    path.write_text(text[:60] + ("A" if text[60] != "A" else "B") + text[61:])
    capsys.readouterr()
    with pytest.raises(Refused, match="its signature is not by the sender") as caught:
        command("inspect", bundle, "--recipient-key", str(keys.folder / "recipient.key"))
    assert caught.value.exit_code == Exit.REFUSED
    shown = capsys.readouterr().out
    assert "INVALID" in shown
    assert "DB_TOKEN" not in shown


def test_what_is_no_envelope_is_refused(keys: "Keys", command: "Command") -> None:
    (keys.folder / "x").write_text("hello\n")
    with pytest.raises(Refused):
        command("inspect", str(keys.folder / "x"))
    with pytest.raises(ConfigurationError):
        command("inspect", str(keys.folder / "missing"))


def test_another_machines_key_does_not_open_it(bundle: str, keys: "Keys", command: "Command") -> None:
    from credagent.bundle.key_pairs import RecipientPrivateKey

    other = keys.folder / "other.key"
    other.touch(mode=0o600)
    other.write_text(RecipientPrivateKey.generate().to_text().reveal())
    with pytest.raises(NotForThisMachine):
        command("inspect", bundle, "--recipient-key", str(other))
