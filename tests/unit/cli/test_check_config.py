"""`credagent check-config`: what the daemon would do with the configuration, or why it would not start."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from credagent import configuration_file
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.cli.main import main
from credagent.errors import Exit


@pytest.fixture(autouse=True)
def _no_machine_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(configuration_file, "MACHINES_FILE", str(tmp_path / "default.toml"))


def written(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_without_a_file_it_shows_the_defaults_as_toml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config"]) == 0
    shown = capsys.readouterr().out
    assert tomllib.loads(shown)["endpoint"]["listen"] == ["127.0.0.1:9817", "[::1]:9817"]
    assert "no bundle will be admitted" in shown


def test_what_is_not_a_default_says_where_it_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "c.toml", '[log]\nlevel = "debug"\n[bundle]\nexpect = "required"\n', 0o644)
    monkeypatch.setenv("CREDAGENT_AWS_REGION", "eu-central-1")
    assert main(["check-config", "--config", path]) == 0
    lines = {line.partition(" = ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["level"].endswith("# file")
    assert lines["region"].endswith("# environment")
    assert lines["fallback"].endswith("# bundle.expect")
    assert "#" not in lines["settle"]


def test_as_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "c.toml", '[workers]\nusers = ["no-such-user"]\n', 0o644)
    assert main(["check-config", "--config", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    settings = {setting["key"]: setting for setting in document["settings"]}
    assert document["version"] == 1
    assert document["path"] == path
    assert settings["workers.users"] == {"key": "workers.users", "value": ["no-such-user"], "origin": "file"}
    assert settings["aws.required"]["value"] is False
    assert "workers.users: no-such-user is not known on this machine" in document["notes"]


def test_files_that_are_named_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, senders = RecipientPrivateKey.generate(), SenderPrivateKey.generate().public_key
    written(tmp_path / "r.key", key.to_text().reveal(), 0o600)
    written(tmp_path / "senders", f"# who\n{senders.line}\n", 0o644)
    text = f"""
    [agent]
    audience = "blue"
    [bundle]
    recipient_keys = ["file:{tmp_path}/r.key"]
    trusted_senders = ["file:{tmp_path}/senders"]
    """
    path = written(tmp_path / "c.toml", text, 0o644)
    assert main(["check-config", "--config", path]) == 0
    shown = capsys.readouterr().out
    assert "no bundle will be admitted" not in shown
    assert key.to_text().reveal() not in shown


KEYS_AND_CODES: list[tuple[str, str | None, int, int]] = [
    ("recipient_keys", None, 0o600, Exit.CONFIGURATION),
    ("recipient_keys", "nonsense", 0o600, Exit.CONFIGURATION),
    ("recipient_keys", "nonsense", 0o644, Exit.PERMISSION),
    ("trusted_senders", None, 0o644, Exit.CONFIGURATION),
    ("trusted_senders", "nonsense", 0o644, Exit.CONFIGURATION),
    ("trusted_senders", "nonsense", 0o666, Exit.PERMISSION),
]


@pytest.mark.parametrize("case", KEYS_AND_CODES)
def test_what_the_daemon_would_refuse_is_refused_here(
    case: tuple[str, str | None, int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, content, mode, code = case
    named = tmp_path / "named"
    if content is not None:
        written(named, content, mode)
    path = written(tmp_path / "c.toml", f'[agent]\naudience = "a"\n[bundle]\n{key} = ["file:{named}"]\n', 0o644)
    assert main(["check-config", "--config", path]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 2
    assert "nonsense" not in shown.err


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        ("[agent]\nsettle = 10\n", 0o644, Exit.CONFIGURATION),
        ("[agent\n", 0o644, Exit.CONFIGURATION),
        ("", 0o666, Exit.PERMISSION),
    ],
)
def test_a_broken_configuration_is_two_lines(
    text: str, mode: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "c.toml", text, mode)
    assert main(["check-config", "--config", path]) == code
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"credagent: {path}")
    assert second.startswith("hint: ")


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.toml", 0o600)
    assert main(["check-config", "--config", str(tmp_path / "c.toml")]) == Exit.CONFIGURATION


def test_the_rules_of_interception_are_printed_for_nft_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "c.toml", '[workers]\nusers = ["1000"]\ngroups = []\nintercept = true\n', 0o644)
    assert main(["check-config", "--config", path, "--nftables", "--agent-user", "daemon"]) == 0
    rules = capsys.readouterr().out
    assert rules.startswith("table inet credagent_intercept\ndelete table inet credagent_intercept\n")
    assert "meta skuid { 0, 1 } return" in rules
    assert "meta skuid { 1000 } ip daddr 169.254.169.254 tcp dport 80 redirect to :9817" in rules


def test_rules_that_there_are_none_of_are_an_error_that_says_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--nftables"]) == Exit.CONFIGURATION
    assert "intercept = true" in capsys.readouterr().err
    path = written(tmp_path / "c.toml", '[workers]\nusers = ["1000"]\nintercept = true\n', 0o644)
    assert main(["check-config", "--config", path, "--nftables", "--agent-user", "nobody-of-this-name"]) == Exit.USAGE


def test_what_interception_cannot_hold_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workers = '[workers]\nusers = ["root", "1000"]\ngroups = []\nintercept = true\n'
    path = written(tmp_path / "c.toml", f'{workers}[endpoint]\nlisten = ["127.0.0.1:9817"]\n', 0o644)
    assert main(["check-config", "--config", path]) == 0
    shown = capsys.readouterr().out
    assert "root are never redirected" in shown
    assert "::1" in shown
    path = written(tmp_path / "d.toml", f'{workers}[endpoint]\nlisten = ["127.0.0.1:0"]\n', 0o644)
    assert main(["check-config", "--config", path]) == 0
    assert "interception cannot work" in capsys.readouterr().out
