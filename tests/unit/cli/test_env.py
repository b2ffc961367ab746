"""`credagent env` and `credagent credential-process`: from the running agent, and what they say where none runs."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from credagent.cli.main import main
from tests.standin import Running, StandIn

PLAIN = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SESSION_TOKEN": "a b'c"}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    os.environ["CREDAGENT_SOCKET"] = path = str(tmp_path / "agent.sock")
    with Running(path, StandIn(**PLAIN)) as running:
        yield running


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(words) == status
    return capsys.readouterr().out


def test_names_alone_are_shown_unless_something_else_is_asked_for(
    agent: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, "env") == shown(capsys, "env", "--reveal") == "AWS_ACCESS_KEY_ID\nAWS_SESSION_TOKEN\n"


@pytest.mark.parametrize("form", ["dotenv", "shell", "json"])
def test_values_are_masked(agent: Running, capsys: pytest.CaptureFixture[str], form: str) -> None:
    text = shown(capsys, "env", "--format", form)
    assert "AWS_SESSION_TOKEN" in text
    assert "***" in text
    assert "EXAMPLE" not in text


def test_values_are_revealed_to_who_says_so(agent: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, "env", "--format", "json", "--reveal")) == PLAIN
    assert shown(capsys, "env", "--format", "dotenv", "--reveal").splitlines()[1] == r"AWS_SESSION_TOKEN='a b\'c'"
    assert "export AWS_ACCESS_KEY_ID=ASIAEXAMPLE\n" in shown(capsys, "env", "--format", "shell", "--reveal")


def test_an_agent_that_has_not_tried_every_slot_is_said_beside_the_answer(
    agent: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.agent.set({}, settled=False)
    assert main(["env"]) == 0
    assert "has not tried every slot yet" in capsys.readouterr().err


def machine(folder: Path, text: str = "") -> tuple[str, ...]:
    """Return the option that names a configuration with folders of its own, in which nothing runs."""
    path = folder / "config.toml"
    folders = f'[agent]\nruntime_dir = "{folder}/run"\nstate_dir = "{folder}/state"\n'
    path.write_text(f'{folders}[google]\nhandover = "off"\n[aws]\nfallback = "never"\n{text}')
    path.chmod(0o600)
    return ("--config", str(path))


def test_without_an_agent_it_is_resolved_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hardened: list[bool] = []
    monkeypatch.setattr("credagent.system.process_control.make_non_dumpable", lambda: hardened.append(True))
    before = sorted(tmp_path.iterdir())
    text = shown(capsys, "env", "--format", "json", "--reveal", *machine(tmp_path))
    assert json.loads(text)["AWS_EC2_METADATA_DISABLED"] == "true"
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "config.toml"]
    assert hardened  # secrets arrive in this very process


def test_a_refusal_is_no_reason_to_resolve(agent: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(agent.admission), "may_connect", lambda *_: False)
    assert main(["env"]) == 77


def test_credential_process_prints_the_agents_document(
    agent: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document: Mapping[str, object] = {"Version": 1, "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s"}
    monkeypatch.setattr(StandIn, "credential_process", lambda _: document)
    assert json.loads(shown(capsys, "credential-process")) == document


def test_credential_process_says_nothing_on_stdout_where_there_is_nothing(
    agent: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, "credential-process", status=69) == ""


def test_credential_process_does_not_do_an_agents_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "credential-process", *machine(tmp_path), status=69) == ""


@pytest.mark.parametrize(
    ("words", "status"), [((), 0), (("google",), 1), (("aws",), 0)], ids=["all", "the-absent-one", "the-present-one"]
)
def test_renewing_everything_does_not_fail_because_this_is_not_the_other_cloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int
) -> None:
    outcomes = {"aws": "renewed", "google": "failed: no-identity", "environment": "unchanged"}
    answer = {"slots": {slot: outcomes[slot] for slot in words or outcomes}}
    monkeypatch.setattr("credagent.cli.commands.renew.ask", lambda *_, **__: answer)
    text = shown(capsys, "renew", *words, status=status)
    assert ("failed" in text) is (status == 1)


def test_renewing_everything_fails_where_one_could_not_be_renewed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"slots": {"aws": "failed: unreachable", "google": "failed: no-identity"}}
    monkeypatch.setattr("credagent.cli.commands.renew.ask", lambda *_, **__: answer)
    assert "aws: failed: unreachable\n" in shown(capsys, "renew", status=1)
