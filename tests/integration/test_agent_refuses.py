"""What an agent does not start with: each is one line, a hint and the documented exit status, and changes nothing."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from tests.integration.agents import Machine, machine, only_message, write

__all__ = ["machine"]

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


class Case(NamedTuple):
    prepare: Callable[[Machine], object]
    exit_status: int
    says: str
    environ: Mapping[str, str] = {}


def folder(path: Path, mode: int, owner: int = -1) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, owner, -1)


def link(machine: Machine) -> None:
    folder(machine.folder / "elsewhere", 0o700)
    machine.run_dir.symlink_to(machine.folder / "elsewhere")


def sender_file(machine: Machine, content: str, mode: int) -> None:
    write(machine.folder / "senders", content, mode)
    machine.configure(bundle={"trusted_senders": [f"file:{machine.folder}/senders"]})


def in_its_place(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def setting(section: str, **values: object) -> Callable[[Machine], None]:
    return lambda machine: machine.configure(**{section: values})


CASES: Mapping[str, Case] = {
    "a runtime folder that is a link": Case(link, 77, "a symbolic link"),
    "a runtime folder that its group can write": Case(lambda m: folder(m.run_dir, 0o770), 77, "others can write"),
    "a runtime folder that all can write": Case(lambda m: folder(m.run_dir, 0o1777), 77, "others can write"),
    "a runtime folder that is a file": Case(lambda m: m.run_dir.touch(), 77, "not a folder"),
    "a state folder that all can write": Case(lambda m: folder(m.state_dir, 0o777), 77, "others can write"),
    "a key that is missing": Case(lambda m: m.key.unlink(), 78, "no such file"),
    "a key that all can read": Case(lambda m: m.key.chmod(0o644), 77, "open to others"),
    "a key that its group can read": Case(lambda m: m.key.chmod(0o640), 77, "open to others"),
    "a sender's key in its place": Case(
        lambda m: write(m.key, SenderPrivateKey.generate().to_text().reveal(), 0o600), 78, "recipient.key"
    ),
    "a public key in its place": Case(
        lambda m: write(m.key, RecipientPrivateKey.generate().public_key.line, 0o600), 78, "recipient.key"
    ),
    "a key that is garbage": Case(lambda m: write(m.key, "\0garbage" * 99, 0o600), 78, "recipient.key"),
    "a key without content": Case(lambda m: write(m.key, "", 0o600), 78, "recipient.key"),
    "a key that is a folder": Case(lambda m: in_its_place(m.key, Path.mkdir), 78, "not a regular file"),
    "a key that is a fifo": Case(lambda m: in_its_place(m.key, os.mkfifo), 78, "not a regular file"),
    "senders that all can write": Case(lambda m: sender_file(m, m.sender.public_key.line, 0o666), 77, "open to others"),
    "senders that are garbage": Case(lambda m: sender_file(m, "nonsense\n", 0o644), 78, "sender"),
    "senders that are missing": Case(setting("bundle", trusted_senders=["file:/nonexistent"]), 78, "no such file"),
    "a configuration that is missing": Case(lambda m: m.config.unlink(), 78, "no such file"),
    "a configuration that all can write": Case(lambda m: m.config.chmod(0o666), 77, "open to others"),
    "an unknown key": Case(setting("agent", audeince="x"), 78, "agent.audeince"),
    "an unknown section": Case(setting("agnet", audience="x"), 78, "agnet"),
    "a wrong type": Case(setting("aws", required="yes"), 78, "aws.required"),
    "a duration without a unit": Case(setting("agent", settle="10"), 78, "agent.settle"),
    "an unknown choice": Case(setting("aws", handover="files"), 78, "aws.handover"),
    "an unknown channel": Case(setting("bundle", channels=["ftp://x/y"]), 78, "bundle.channels"),
    "a configuration that is no TOML": Case(lambda m: write(m.config, "[agent\n", 0o644), 78, "config.toml"),
    "a configuration that is not text": Case(lambda m: m.config.write_bytes(b"\xff\xfe"), 78, "config.toml"),
    "a key of several machines without an audience": Case(setting("agent", audience=""), 78, "audience"),
    "a runtime folder whose name is too long for a socket": Case(
        lambda m: m.configure(agent={"runtime_dir": f"{m.folder}/{'x' * 100}"}), 78, "over 107 bytes"
    ),
    "an unknown variable": Case(lambda _: None, 78, "CREDAGENT_AGENT_AUDEINCE", {"CREDAGENT_AGENT_AUDEINCE": "x"}),
    "a variable with a wrong value": Case(lambda _: None, 78, "aws.required", {"CREDAGENT_AWS_REQUIRED": "yes"}),
}


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("words", [("run",), ("run", "--once")], ids=" ".join)
def test_it_does_not_start_with(machine: Machine, what: str, words: tuple[str, ...]) -> None:
    case = CASES[what]
    case.prepare(machine)
    before = listing(machine.folder)
    done = machine.run(*words, "--config", str(machine.config), **case.environ)
    assert done.returncode == case.exit_status, done.stderr
    first, hint = only_message(done)
    assert first.startswith("credagent: ")
    assert case.says in first
    assert re.fullmatch(r"hint: \S.*", hint)
    assert "Traceback" not in done.stderr
    made = listing(machine.folder) - before
    assert not {
        path for path in made if path.name in ("worker.env", "agent.sock", "in-force.json", "recipient.machine")
    }


@root
@pytest.mark.parametrize("name", ["run_dir", "state_dir"])
def test_it_does_not_start_in_anothers_folder(machine: Machine, name: str) -> None:
    folder(getattr(machine, name), 0o755, NOBODY)
    machine.environ |= {"CREDAGENT_WORKERS_USERS": "", "CREDAGENT_WORKERS_GROUPS": ""}
    done = machine.run("run", "--config", str(machine.config))
    assert done.returncode == 77
    assert f"belongs to user {NOBODY}" in only_message(done)[0]


@root
@pytest.mark.parametrize("name", ["key", "config"])
def test_it_does_not_read_what_another_could_change(machine: Machine, name: str) -> None:
    os.chown(getattr(machine, name), NOBODY, NOBODY)
    done = machine.run("run", "--config", str(machine.config))
    assert done.returncode == 77
    assert f"belongs to user {NOBODY}" in only_message(done)[0]


def test_with_debug_the_trace_follows_and_the_line_is_the_same(machine: Machine) -> None:
    machine.key.unlink()
    done = machine.run("run", "--config", str(machine.config), "--debug")
    assert done.returncode == 78
    assert "Traceback" in done.stderr
    assert only_message(done)[-1].startswith("hint: ")


def test_folders_are_made_private_whatever_the_umask(machine: Machine) -> None:
    before = os.umask(0)
    try:
        machine.start()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (machine.run_dir, machine.state_dir)}
    assert modes == {"run": 0o751, "state": 0o700}
    assert machine.inbox.parent.stat().st_mode & 0o777 == 0o700
    for path in machine.run_dir.iterdir():
        assert path.is_socket() or path.stat().st_mode & 0o077 == 0 or path.is_dir(), path


def listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
