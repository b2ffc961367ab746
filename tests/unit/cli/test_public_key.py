"""`credagent public-key`: the line that senders seal to or machines trust; never a part of a private key."""

from pathlib import Path

import pytest

from credagent.cli.main import main
from credagent.errors import Exit


@pytest.mark.parametrize("role", ["recipient", "sender"])
def test_a_key_files_public_line_is_the_one_that_keygen_wrote(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keygen", "--role", role, "--out", str(tmp_path / "keys")])
    capsys.readouterr()
    assert main(["public-key", str(tmp_path / "keys" / f"{role}.key")]) == Exit.DONE
    assert capsys.readouterr().out == (tmp_path / "keys" / f"{role}.pub").read_text()


@pytest.mark.parametrize("role", ["recipient", "sender"])
def test_a_public_file_by_mistake_is_printed_as_it_is(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keygen", "--role", role, "--out", str(tmp_path)])
    line = (tmp_path / f"{role}.pub").read_text()
    (tmp_path / f"{role}.pub").write_text(line.strip() + " ana\n")
    capsys.readouterr()
    assert main(["public-key", str(tmp_path / f"{role}.pub")]) == Exit.DONE
    assert capsys.readouterr().out == line


def test_a_public_file_that_was_cut_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sender.pub"
    path.write_text("credagent-sender:ed25519:7Qm\n")
    assert main(["public-key", str(path)]) == Exit.CONFIGURATION
    assert str(path) in capsys.readouterr().err


def test_a_file_that_is_no_key_is_named_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.key"
    path.write_text("a secret of another program\n")
    path.chmod(0o600)
    assert main(["public-key", str(path)]) == Exit.CONFIGURATION
    said = capsys.readouterr().err
    assert str(path) in said
    assert "hint:" in said
    assert "another program" not in said


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    main(["keygen", "--role", "sender", "--out", str(tmp_path / "keys")])
    path = tmp_path / "keys" / "sender.key"
    path.chmod(0o644)
    assert main(["public-key", str(path)]) == Exit.PERMISSION


def test_without_an_agent_it_says_that_none_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDAGENT_AGENT_RUNTIME_DIR", str(tmp_path / "run"))
    assert main(["public-key"]) == Exit.UNAVAILABLE
    assert "no agent answers" in capsys.readouterr().err
