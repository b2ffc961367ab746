"""What the forwarding tests do over and over: write a key, build a small cluster, ask its workers."""

from pathlib import Path
from typing import Any

import distributed

from credagent.bundle.key_pairs import SenderPrivateKey
from tests.integration.forwarder.stage import Machine, Stage, within
from tests.patience import scaled

SECRET = "hunter2-canary"
# Tasks travel as text: a function of this module would be looked up in a module that workers do not have.
READ = "__import__('os').environ.get('DB_TOKEN', 'none')"


class Said(list[str]):
    """What people were told."""

    def about(self, text: str) -> list[str]:
        return [line for line in self if text in line]


def write_key(path: Path) -> SenderPrivateKey:
    made = SenderPrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(made.to_text().reveal())
    return made


def client_of(stage: Stage, workers: int = 0) -> Any:
    client = distributed.Client(stage.scheduler, set_as_default=False)
    if workers:
        client.wait_for_workers(workers, timeout=scaled(60))
    return client


def token_on(client: Any, name: str) -> str:
    address = within(40, lambda: address_of(client, name), f"the worker {name}")
    return str(client.submit(eval, READ, workers=[address], pure=False).result(timeout=scaled(60)))


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
