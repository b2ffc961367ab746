"""`python -m tests.pictures.dashboard FILE.png`: the page Credentials of a real cluster, taken by a real browser.

Needs root (each machine has a hostname of its own) and `chromium-headless-shell` or `chromium`, of Debian's packages.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from credagent.forwarder.forward_credentials import forward_credentials
from tests.integration.clouds import WITHOUT_MACHINE, Cloud
from tests.integration.forwarder.play import client_of, write_key
from tests.integration.forwarder.stage import Machine, Stage, staged, within
from tests.ports import free_port
from tests.simulator import Simulator

BROWSERS = ("chromium-headless-shell", "chromium")
SIZE = "1480,370"
NAMED = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')


def main(picture: Path) -> None:
    """Build a cluster of which one machine does not trust the sender yet, forward to it, and take the picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"one of these is needed: {', '.join(BROWSERS)}")
    # The agent of a machine below a long path would have a socket with a name that is too long.
    with tempfile.TemporaryDirectory(prefix="ca-") as name, Simulator() as simulator:
        folder, cloud = Path(name), Cloud(simulator, Path(name))
        os.environ |= {**cloud.environ, **WITHOUT_MACHINE}
        user = simulator.create_user("ana")
        own = {"AWS_ACCESS_KEY_ID": user["access_key_id"], "AWS_SECRET_ACCESS_KEY": user["secret_access_key"]}
        with staged(folder, dict(os.environ)) as stage:
            os.environ |= own
            _take(stage, browser, picture)


def _take(stage: Stage, browser: str, picture: Path) -> None:
    key = write_key(stage.folder / "sender.key")
    trusting = [_machine(stage, f"node-{number}", key.public_key.line) for number in (1, 2)]
    refusing = _machine(stage, "node-3", write_key(stage.folder / "other.key").public_key.line)
    port = free_port()
    stage.start_scheduler(trusting[0], "--dashboard-address", f"127.0.0.1:{port}", dashboard=True)
    for machine in (*trusting, refusing):
        for number in (1, 2):
            stage.start_worker(machine, f"{machine.name}-{number}", "--no-nanny")
    pages = f"http://127.0.0.1:{port}/credentials"
    with (
        client_of(stage, 6),
        forward_credentials(
            stage.scheduler,
            environ={"DB_TOKEN": "of a picture"},
            duration="1h",
            trust="first-use",
            sender_key=stage.folder / "sender.key",
        ),
    ):
        within(60, lambda: _complete(f"{pages}.json"), "all workers have their set")
        command = (browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}")
        subprocess.run([*command, f"--screenshot={picture}", pages], check=True, timeout=120, capture_output=True)


def _machine(stage: Stage, name: str, trusted: str) -> Machine:
    return stage.machine(name, trusted, enter=(*NAMED, name))


def _complete(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=30) as answer:
        machines: list[dict[str, Any]] = json.load(answer)["machines"]
    processes = [(process, machine["generation"]) for machine in machines for process in machine["processes"]]
    refused = [machine for machine in machines if machine["refused"]]
    in_place = all(process["generation"] == newest for process, newest in processes)
    return len(machines) == 3 and len(refused) == 1 and in_place


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
