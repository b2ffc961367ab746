"""`credagent trust`: adds a sender to a trust file, once, and agents without configuration read that file."""

import importlib
import os
import stat
from pathlib import Path

import pytest

from credagent.admission.trust_file import trusted_senders
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.cli.main import main
from credagent.config import load
from credagent.errors import Exit

default_folders = importlib.import_module("credagent.config.default_folders")  # the package has a function of that name


@pytest.fixture(autouse=True)
def trust_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only trust file there is, whoever runs the tests."""
    found = tmp_path / "etc" / "trusted-senders"
    monkeypatch.setattr(default_folders, "SYSTEM_TRUST_FILE", str(found))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    if os.geteuid() != 0:
        return tmp_path / "config" / "credagent" / "trusted-senders"
    return found


def trusted() -> frozenset[bytes]:
    return frozenset(trusted_senders(load(None, os.environ).bundle.trusted_senders))


def test_an_agent_that_is_told_nothing_trusts_nobody_at_first_and_then_whom_its_user_trusts(
    tmp_path: Path, trust_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ana, ben = SenderPrivateKey.generate().public_key, SenderPrivateKey.generate().public_key
    assert trusted() == frozenset()
    (tmp_path / "ben.pub").write_text(f"{ben.line}\n")
    assert main(["trust", ana.line, "--comment", "ana's laptop"]) == 0
    assert main(["trust", str(tmp_path / "ben.pub")]) == 0
    assert trusted() == {ana.raw, ben.raw}
    assert f"sender {fingerprint(ana.key_id)}, in" in capsys.readouterr().out
    assert trust_file.read_text() == f"{ana.line} ana's laptop\n{ben.line}\n"
    assert stat.S_IMODE(trust_file.stat().st_mode) == 0o644


def test_the_same_sender_is_added_once(trust_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ana = SenderPrivateKey.generate().public_key
    assert main(["trust", ana.line, "--comment", "ana"]) == 0
    capsys.readouterr()
    assert main(["trust", f"{ana.line} somebody"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("trusted already")
    assert said.err == ""
    assert trust_file.read_text() == f"{ana.line} ana\n"


def test_an_ordinary_user_has_a_file_of_his_own_beside_the_machines(tmp_path: Path) -> None:
    environ = {"HOME": "/home/ana"}
    assert default_folders.trust_file(environ, 1000) == "/home/ana/.config/credagent/trusted-senders"
    assert default_folders.trust_file({"XDG_CONFIG_HOME": "/x", **environ}, 1000) == "/x/credagent/trusted-senders"
    assert default_folders.trust_file({"XDG_CONFIG_HOME": "relative"}, 1000) == ""
    assert default_folders.trust_file(environ, 0) == default_folders.SYSTEM_TRUST_FILE
    own = tmp_path / "credagent" / "trusted-senders"
    own.parent.mkdir()
    own.write_text("")
    assert default_folders.default_trusted_senders({"XDG_CONFIG_HOME": str(tmp_path)}, 1000)[-1] == f"file:{own}"


def test_the_file_that_the_configuration_names_is_the_one_that_is_added_to(tmp_path: Path) -> None:
    named, ana = tmp_path / "senders", SenderPrivateKey.generate().public_key
    named.write_text("# nobody yet\n")
    config = tmp_path / "config.toml"
    config.write_text(f'[bundle]\ntrusted_senders = ["file:{named}"]\n')
    assert main(["trust", ana.line, "--config", str(config)]) == 0
    assert named.read_text() == f"# nobody yet\n{ana.line}\n"


def test_a_configuration_that_lists_keys_and_no_file_says_where_to_add(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ana = SenderPrivateKey.generate().public_key
    config = tmp_path / "config.toml"
    config.write_text(f'[bundle]\ntrusted_senders = ["{ana.line} ana"]\n')
    assert main(["trust", ana.line, "--config", str(config)]) == Exit.CONFIGURATION
    assert "hint: add" in capsys.readouterr().err


def test_a_trust_file_that_others_can_write_is_not_added_to(trust_file: Path) -> None:
    trust_file.parent.mkdir()
    trust_file.write_text("")
    trust_file.chmod(0o666)
    assert main(["trust", SenderPrivateKey.generate().public_key.line]) == Exit.PERMISSION
    assert trust_file.read_text() == ""


def test_a_private_key_by_mistake_is_neither_added_nor_repeated(
    tmp_path: Path, trust_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SenderPrivateKey.generate().to_text().reveal()
    (tmp_path / "sender.key").write_text(text)
    assert main(["trust", str(tmp_path / "sender.key")]) == Exit.CONFIGURATION
    assert text not in "".join(capsys.readouterr())
    assert not trust_file.exists()


def test_a_comment_stays_on_its_line(trust_file: Path) -> None:
    ana, forged = SenderPrivateKey.generate().public_key, SenderPrivateKey.generate().public_key
    assert main(["trust", ana.line, "--comment", f"ana\n{forged.line}"]) == 0
    assert trusted() == {ana.raw}
