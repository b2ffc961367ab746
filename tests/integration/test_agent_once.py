"""One resolution without a daemon, and the commands that ask the daemon there is."""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Machine, machine, only_message, write
from tests.integration.letters import letter

__all__ = ["machine"]

SLOTS = ("aws", "google", "environment")


def contents(*folders: Path) -> dict[Path, Any]:
    """Return everything below folders: what it is, since when, and what it holds."""
    found = {}
    for path in (path for folder in folders for path in [folder, *folder.rglob("*")]):
        about = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
        found[path] = (about.st_mode, about.st_ino, about.st_mtime_ns, data)
    return found


def test_with_nothing_configured_it_ends_well(machine: Machine) -> None:
    """The folders are named here only because this is not the machine's own agent."""
    done = machine.run(
        "run",
        "--once",
        CREDAGENT_AGENT_RUNTIME_DIR=str(machine.run_dir),
        CREDAGENT_AGENT_STATE_DIR=str(machine.state_dir),
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "] == [*SLOTS, "bundle"]
    assert "bundle      none in force" in done.stdout
    assert (machine.state_dir / "recipient.key").stat().st_mode & 0o777 == 0o600
    assert machine.worker_env.exists()
    assert not machine.socket.exists()


def test_it_opens_what_is_in_the_inbox_and_keeps_it(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    assert machine.once().returncode == 0
    written = machine.worker_env.read_text()
    assert f"DB_TOKEN={CANARY}" in written.replace('"', "")
    assert f"AWS_SECRET_ACCESS_KEY={CANARY}" in written.replace('"', "")
    machine.inbox.unlink()
    machine.worker_env.unlink()
    assert machine.once().returncode == 0
    assert CANARY in machine.worker_env.read_text()


def test_exit_65_where_a_bundle_was_refused_and_none_is_in_force(machine: Machine) -> None:
    machine.put("garbage")
    done = machine.once()
    assert done.returncode == 65
    first, hint = only_message(done)
    assert first.startswith("credagent: channel file: bundle refused: ")
    assert hint.startswith("hint: ")
    machine.put(machine.sealed(letter()))
    assert machine.once().returncode == 0
    machine.put("garbage")
    assert machine.once().returncode == 0
    assert CANARY in machine.worker_env.read_text()


@pytest.mark.parametrize("section", [{"aws": {"required": True}}, {"bundle": {"expect": "required"}}])
def test_exit_69_where_something_required_is_not_to_be_had(machine: Machine, section: Any) -> None:
    machine.configure(**section)
    done = machine.once()
    assert done.returncode == 69, done.stderr
    first, hint = only_message(done)
    assert "required, and " in first
    assert hint.startswith("hint: ")
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    assert machine.once().returncode == 0


def test_exit_69_where_what_is_required_is_about_to_end(machine: Machine) -> None:
    machine.configure(aws={"required": True}, agent={"min_validity": "1h"})
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, seconds=1800)))
    assert machine.once().returncode == 69


def test_exit_73_where_worker_env_cannot_be_written(machine: Machine) -> None:
    machine.configure(workers={"env_file": "/proc/worker.env"})
    done = machine.once()
    assert done.returncode == 73
    first, hint = only_message(done)
    assert "/proc/worker.env" in first
    assert hint


def test_beside_a_daemon_it_writes_nothing(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.start()
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, variables={"DB_TOKEN": "second"})))
    machine.until(lambda: machine.value() == "second")
    before = contents(machine.run_dir, machine.state_dir)
    done = machine.once()
    assert done.returncode == 0, done.stderr
    assert contents(machine.run_dir, machine.state_dir) == before
    assert machine.status()["state"] == "ready"


def test_beside_a_daemon_whose_bundle_is_newer_than_what_it_finds(machine: Machine) -> None:
    machine.start()
    machine.ask("deliver", bundle=machine.sealed(letter(later_s=5)))
    machine.put(machine.sealed(letter()))
    machine.until(lambda: machine.refusals() == ["replayed"])
    before = contents(machine.run_dir, machine.state_dir)
    assert machine.once().returncode == 0
    assert contents(machine.run_dir, machine.state_dir) == before


# ---- env


def test_env_shows_what_the_running_agent_hands_out_values_masked(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    config = ("--config", str(machine.config))
    names = machine.run("env", *config).stdout.split()
    assert {"DB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_CREDENTIAL_EXPIRATION", "AWS_REGION"} <= set(names)
    for shape in ("names", "dotenv", "shell", "json"):
        shown = machine.run("env", "--format", shape, *config)
        assert shown.returncode == 0
        assert CANARY not in shown.stdout + shown.stderr
    revealed = json.loads(machine.run("env", "--format", "json", "--reveal", *config).stdout)
    assert revealed["AWS_SECRET_ACCESS_KEY"] == CANARY


def test_env_without_an_agent_resolves_once_and_makes_nothing(machine: Machine) -> None:
    machine.put(machine.sealed(letter()))
    machine.configure(bundle={"recipient_keys": [f"file:{machine.key}", "state"]})
    before = contents(machine.folder)
    done = machine.run("env", "--format", "json", "--reveal", "--config", str(machine.config))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["DB_TOKEN"] == CANARY
    assert "no agent" in done.stderr
    assert contents(machine.folder) == before


def test_env_on_a_machine_where_there_is_nothing_at_all(machine: Machine) -> None:
    before = contents(machine.folder)
    done = machine.run("env", "--config", str(machine.config))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines() if line[0] != " "] == ["credagent:", *SLOTS, "bundle"]
    assert contents(machine.folder) == before


def test_run_once_says_what_a_worker_gets_and_why_and_shows_no_value(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    said = machine.once().stdout
    assert "aws         arn:aws:sts::" in said
    assert "environment DB_TOKEN" in said
    assert said.count("because the bundle in force grants it") == 2
    assert "over file" in said
    assert CANARY not in said


# ---- status, renew


def test_status_is_the_documented_document(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    process = machine.start()
    machine.ask("deliver", bundle="x")
    done = machine.run("status", "--json", "--config", str(machine.config))
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert set(document) == {
        *("version", "state", "generation", "audience", "since", "state_since", "public_key", "key_id"),
        *("slots", "bundle", "problems", "workers", "refused_callers", "agent"),
    }
    assert (document["version"], document["state"], document["audience"]) == (1, "ready", "lab")
    assert list(document["slots"]) == ["aws", "google", "environment"]
    common = {"origin", "statement", "principal", "expires_at", "renew_at"}
    common |= {"renewable", "required", "handover", "last_error"}
    for slot in document["slots"].values():
        assert common <= set(slot)
    aws = document["slots"]["aws"]
    assert (aws["origin"], aws["statement"], aws["renewable"]) == ("bundle", "granted", False)
    assert aws["principal"].startswith("arn:aws:sts::")
    assert aws["expires_at"].endswith("Z")
    assert aws["because"][0] == "workers get what the bundle grants"
    assert (aws["fallback"], aws["falls_back_to"], aws["lost"], aws["life_passed"]) == ("absent", "nothing", False, 0.0)
    assert document["slots"]["environment"]["names"] == ["DB_TOKEN"]
    bundle = document["bundle"]
    assert {"bundle_id", "sender", "sequence", "issued_at", "not_after", "channel", "refused"} <= set(bundle)
    assert bundle["channel"] == "file"
    assert bundle["sender_name"] is None
    assert document["state_since"] >= document["since"]
    assert {"code", "at", "channel"} <= set(bundle["refused"][0])
    agent = document["agent"]
    assert agent["pid"] == process.pid
    assert 0 < agent["uss_bytes"] <= agent["rss_bytes"]
    assert CANARY not in done.stdout


def test_status_of_a_machine_with_nothing_has_every_key_too(machine: Machine) -> None:
    machine.configure(bundle={"recipient_keys": ["state"]})
    machine.start()
    document = machine.status()
    assert document["public_key"].startswith("credagent-recipient:x-wing:")
    assert machine.run("public-key", "--config", str(machine.config)).stdout == document["public_key"] + "\n"
    assert document["bundle"]["bundle_id"] is None
    assert document["bundle"]["refused"] == []
    assert document["slots"]["aws"]["statement"] is None
    assert document["slots"]["environment"]["names"] == []
    assert document["workers"] == []


def test_status_for_people(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    done = machine.run("status", "--config", str(machine.config))
    assert done.returncode == 0
    for expected in ("ready", "aws", "google", "environment", "arn:aws:sts", "DB_TOKEN", "MB private"):
        assert expected in done.stdout
    assert CANARY not in done.stdout


def test_a_session_near_its_end_without_its_sender_is_told_by_status_and_metrics(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, seconds=600, later_s=-3000)))
    machine.start()
    machine.until(lambda: machine.status()["slots"]["aws"]["life_passed"] == 0.75)
    done = machine.run("status", "--config", str(machine.config))
    assert done.returncode == 0  # workers have all that was meant for them, and a person has to do something
    assert "! 75% of the life of aws's session has passed, and its sender has not renewed it" in done.stdout
    with socket.socket(socket.AF_UNIX) as scraper:
        scraper.connect(str(machine.socket))
        scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        metrics = b"".join(iter(lambda: scraper.recv(65_536), b"")).decode()
    assert 'credagent_session_life_passed_ratio{slot="aws"} 0.750' in metrics
    assert 'credagent_session_life_passed_ratio{slot="environment"} 0' in metrics


def test_asking_where_nobody_answers_is_69_and_says_what_to_do(machine: Machine) -> None:
    for command in ("status", "renew", "credential-process"):
        done = machine.run(command, "--config", str(machine.config))
        assert done.returncode == 69, (command, done.stderr)
        assert "credagent run" in only_message(done)[-1]


def test_renew_of_what_only_its_sender_renews_is_unchanged(machine: Machine) -> None:
    machine.put(machine.sealed(letter(aws=Statement.GRANTED)))
    machine.start()
    done = machine.run("renew", "--config", str(machine.config))
    assert (done.returncode, done.stdout) == (0, "aws: unchanged\ngoogle: unchanged\nenvironment: unchanged\n")


def test_renew_of_what_cannot_be_had_says_why(machine: Machine) -> None:
    machine.start()
    done = machine.run("renew", "aws", "--config", str(machine.config))
    assert (done.returncode, done.stdout) == (1, "aws: failed: no-identity\n")


def test_worker_path_and_check_config_need_no_agent(machine: Machine) -> None:
    (path,) = machine.run("worker-path").stdout.splitlines()
    assert [name for name in os.listdir(path) if name.endswith(".py")] == ["credagent_worker.py"]
    done = machine.run("check-config", "--config", str(machine.config))
    assert done.returncode == 0
    assert str(machine.run_dir) in done.stdout
    write(machine.config, '[agent]\naudeince = "x"\n', 0o644)
    assert machine.run("check-config", "--config", str(machine.config)).returncode == 78
