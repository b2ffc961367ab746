"""Fixtures of the forwarding tests: a stage, a sender's key, what people were told, and `forward` itself."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder.forward_credentials import forward_credentials
from tests.integration.forwarder.play import SECRET, Said, write_key
from tests.integration.forwarder.stage import Stage, staged


@pytest.fixture
def key(tmp_path: Path) -> SenderPrivateKey:
    return write_key(tmp_path / "sender.key")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, dict(os.environ)) as found:
        yield found


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def forward(stage: Stage, said: Said) -> Iterator[Callable[..., Any]]:
    """Forward with the stage's key; whatever a test leaves running is stopped."""
    begun = []

    def begin(target: Any = None, **options: Any) -> Any:
        defaults: dict[str, Any] = {
            "aws": None,
            "environ": {"DB_TOKEN": SECRET},
            "sender_key": stage.folder / "sender.key",
            "trust": "first-use",
            "say": said.append,
            "timeout": 60,
        }
        begun.append(forward_credentials(target or stage.scheduler, **{**defaults, **options}))
        return begun[-1]

    yield begin
    for forwarding in begun:
        forwarding.stop()
