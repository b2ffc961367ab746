"""A sender and a recipient with their keys in files, and commands run as functions."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey

Command = Callable[..., int]


class Keys(Struct):
    folder: Path
    sender: SenderPrivateKey
    recipient: RecipientPrivateKey

    def sealing(self, *more: str) -> list[str]:
        recipient, sender = self.folder / "recipient.pub", self.folder / "sender.key"
        return [*more, "--recipient", str(recipient), "--sender-key", str(sender), "--audience", "lab"]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Keys(tmp_path, SenderPrivateKey.generate(), RecipientPrivateKey.generate())
    for name, text, mode in (
        ("sender.key", found.sender.to_text().reveal(), 0o600),
        ("recipient.key", found.recipient.to_text().reveal(), 0o600),
        ("recipient.pub", found.recipient.public_key.line, 0o644),
    ):
        (tmp_path / name).write_text(f"{text}\n")
        (tmp_path / name).chmod(mode)
    return found


@pytest.fixture
def command() -> Command:
    def run(name: str, *arguments: str) -> int:
        module = importlib.import_module(f"credagent.cli.commands.{name}")
        parser = argparse.ArgumentParser(name)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(list(arguments))))

    return run
