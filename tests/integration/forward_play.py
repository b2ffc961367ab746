"""Fixtures of the forwarding tests: a stage, a sender's key, what people were told, and `forward` itself."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from credagent.bundle.keys import SenderPrivateKey
from credagent.sender.forwarding import engine
from credagent.sender.forwarding.forward import forward_credentials
from credagent.sender.forwarding.rounds import Own
from tests.integration.forward_stage import Machine, Stage, staged, within

SECRET = "hunter2-canary"
# Tasks travel as text: a function of this module would be looked up in a module that workers do not have.
READ = "__import__('os').environ.get('DB_TOKEN', 'none')"


class Said(list[str]):
    """What people were told."""

    def about(self, text: str) -> list[str]:
        return [line for line in self if text in line]


@pytest.fixture
def key(tmp_path: Path) -> SenderPrivateKey:
    return write_key(tmp_path / "sender.key")


def write_key(path: Path) -> SenderPrivateKey:
    made = SenderPrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(made.to_text().reveal())
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, dict(os.environ)) as found:
        yield found


@pytest.fixture(autouse=True)
def machines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is started by this very process, which would take workers without an agent for its own."""
    monkeypatch.setattr(engine, "own_process", lambda: Own(boot="", pid=0))


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


def client_of(stage: Stage, workers: int = 0) -> Any:
    client = distributed.Client(stage.scheduler, set_as_default=False)
    if workers:
        client.wait_for_workers(workers, timeout=60)
    return client


def token_on(client: Any, name: str) -> str:
    address = within(40, lambda: address_of(client, name), f"the worker {name}")
    return str(client.submit(eval, READ, workers=[address], pure=False).result(timeout=60))


def address_of(client: Any, name: str) -> str:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return next((address for address, facts in workers.items() if facts["name"] == name), "")


def small(stage: Stage, key: SenderPrivateKey, *names: str, **more: Any) -> list[Machine]:
    """One machine for each name with one worker on it, and a scheduler on the first."""
    machines = [stage.machine(name, key.public_key.line, **more) for name in names]
    stage.start_scheduler(machines[0])
    for machine in machines:
        stage.start_worker(machine, machine.name, "--no-nanny")
    return machines
