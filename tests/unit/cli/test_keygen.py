"""`credagent keygen`: a private folder, a private key, a public line, and nothing overwritten."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey, SenderPrivateKey, SenderPublicKey
from credagent.cli.main import main
from credagent.errors import Exit
from credagent.secret import Secret


def made(folder: Path, role: str, *more: str) -> int:
    return main(["keygen", "--role", role, "--out", str(folder), *more])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kem", ["x-wing", "x25519"])
def test_a_recipients_key(kem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "keys"
    assert made(folder, "recipient", "--kem", kem) == 0
    line, place = capsys.readouterr().out.splitlines()
    key = RecipientPrivateKey.parse(Secret((folder / "recipient.key").read_text().strip()))
    assert line == key.public_key.line == (folder / "recipient.pub").read_text().strip()
    assert RecipientPublicKey.parse(line) == key.public_key
    assert line.startswith(f"credagent-recipient:{kem}:")
    assert place == str(folder / "recipient.key")
    assert (mode(folder), mode(folder / "recipient.key"), mode(folder / "recipient.pub")) == (0o700, 0o600, 0o644)


def test_a_senders_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made(tmp_path / "k", "sender") == 0
    shown = capsys.readouterr()
    text = (tmp_path / "k" / "sender.key").read_text().strip()
    assert SenderPublicKey.parse(shown.out.splitlines()[0]) == SenderPrivateKey.parse(Secret(text)).public_key
    assert text not in shown.out + shown.err


def test_both_roles_fit_one_folder_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(tmp_path / "k", "sender") == 0
    assert made(tmp_path / "k", "recipient") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "k").iterdir()}
    capsys.readouterr()
    assert made(tmp_path / "k", "sender") == Exit.OUTPUT
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "k" / "sender.key").unlink()
    assert made(tmp_path / "k", "sender") == Exit.OUTPUT
    assert {path.name: path.read_bytes() for path in (tmp_path / "k").iterdir()} == {
        name: data for name, data in before.items() if name != "sender.key"
    }


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_run_that_was_killed_is_finished_by_the_next(
    killed_at: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No private key stays behind in a temporary file, and nothing at which the next run stops."""
    script = "import os, signal\nlink, calls = os.link, []\ndef killed(*names):\n    calls.append(names)\n"
    script += f"    if len(calls) == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n    link(*names)\n"
    script += "os.link = killed\nfrom credagent.cli.main import main\n"
    script += f"main(['keygen', '--role', 'sender', '--out', {str(tmp_path / 'k')!r}])"
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == -9
    before = (tmp_path / "k" / "sender.key").read_text() if killed_at == 2 else None
    assert made(tmp_path / "k", "sender") == 0
    line = capsys.readouterr().out.splitlines()[0]
    key = SenderPrivateKey.parse(Secret((tmp_path / "k" / "sender.key").read_text().strip()))
    assert line == key.public_key.line == (tmp_path / "k" / "sender.pub").read_text().strip()
    assert before in (None, (tmp_path / "k" / "sender.key").read_text())
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["sender.key", "sender.pub"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--role", "sender", "--kem", "x-wing"], Exit.USAGE),
        (["--role", "nobody"], Exit.USAGE),
        (["--role", "recipient", "--kem", "rsa"], Exit.USAGE),
        ([], Exit.USAGE),
    ],
)
def test_a_wrong_wish_makes_nothing(words: list[str], code: int, tmp_path: Path) -> None:
    assert main(["keygen", "--out", str(tmp_path / "k"), *words]) == code
    assert not (tmp_path / "k").exists()


def test_a_folder_that_others_can_write_gets_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k").mkdir()
    (tmp_path / "k").chmod(0o777)
    assert made(tmp_path / "k", "sender") == Exit.PERMISSION
    assert capsys.readouterr().err.count("\n") == 2
    assert list((tmp_path / "k").iterdir()) == []


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("")
    assert made(tmp_path / "k", "sender") == Exit.PERMISSION
    assert made(tmp_path / "k" / "deeper", "sender") in (Exit.PERMISSION, Exit.OUTPUT)
