"""What an administrator and a user do on a booted machine, in words of one line each."""

import json
from typing import Any

from tests.system.cloud import Sender
from tests.system.machine import Machine

INBOX = "/run/credagent/inbox"


def status(machine: Machine) -> dict[str, Any]:
    """Return the status document."""
    document: dict[str, Any] = json.loads(
        machine.run("credagent", "status", "--json", check=False)
    )  # 1 where a slot is empty
    return document


def deliver(machine: Machine, sender: Sender, value: str) -> None:
    """Seal for this machine and drop the bundle into its inbox, as root."""
    put(machine, sender.seal(status(machine)["public_key"], value))


def put(machine: Machine, bundle: str) -> None:
    """Drop a bundle into the machine's inbox, as root."""
    machine.run(
        "sh", "-c", f"cat >{INBOX}/.new && chmod 644 {INBOX}/.new && mv {INBOX}/.new {INBOX}/bundle", given=bundle
    )


def variable(machine: Machine, name: str = "DB_TOKEN") -> str:
    """Return what a worker of the user `dask` would get now."""
    shown = machine.run("credagent", "env", "--format", "json", "--reveal", user="dask")
    return str(json.loads(shown).get(name, ""))


def start_dask(machine: Machine) -> None:
    """Install and start a scheduler and a worker by the example units."""
    machine.run("sh", "-c", "cp /usr/share/doc/credagent/examples/dask-*.service /etc/systemd/system/")
    machine.run("sh", "-c", "echo DASK_SCHEDULER=tcp://127.0.0.1:8786 >/etc/default/dask-worker")
    machine.run("sh", "-c", "echo SCHEDULER_OPTIONS=--host 127.0.0.1 --no-dashboard >/etc/default/dask-scheduler")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "dask-scheduler", "dask-worker")


def in_worker(machine: Machine, expression: str) -> str:
    """Return the value of a Python expression in the worker's process, computed as a Dask task."""
    program = (
        "from distributed import Client\n"
        "with Client('tcp://127.0.0.1:8786', timeout=30) as client:\n"
        "    client.wait_for_workers(1, timeout=60)\n"
        f"    print(client.submit(eval, {expression!r}, pure=False).result(timeout=30))\n"
    )
    return machine.run("/opt/dask/bin/python3", "-", given=program, user="dask").strip()
