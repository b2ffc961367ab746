"""Private memory of an idle agent that has renewed from instance metadata, measured from outside; needs root.

An agent makes itself non-dumpable, so only root reads its memory map. Its own count (`status`) loads psutil first.
"""

import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks import node
from tests.demo.stage import Stage, start_cloud

RUNS = 3
LIFETIME_S = 8
RENEWALS = 3
PATIENCE_S = 60.0
IDLE_S = 2.0
AIM_MB = 28
BARE = "import time; time.sleep(60)"


def main() -> None:
    """Measure a bare interpreter, the agent, and the agent after its status was asked."""
    bare, idle, asked = [], [], []
    with tempfile.TemporaryDirectory(prefix="ca-bm-") as folder, Stage(Path(folder)) as stage:
        cloud, environ, *_ = start_cloud(stage)
        cloud.expire_after("imds", LIFETIME_S)
        for run in range(RUNS):
            (Path(folder) / f"{run}").mkdir()
            machine = node.make(Path(folder) / f"{run}")
            with subprocess.Popen([node.python(), "-I", "-c", BARE]) as sleeper:
                time.sleep(0.5)
                bare.append(uss_mb(sleeper.pid))
                sleeper.kill()
            since = cloud.last_seq()
            with node.agent(machine, environ) as (process, _):
                _wait_for_renewals(cloud, since)
                idle.append(uss_mb(process.pid))
                node.ask(machine, "status")
                asked.append(uss_mb(process.pid))
    base = statistics.median(bare)
    for name, values in (("bare interpreter", bare), ("idle agent", idle), ("after status was asked", asked)):
        middle = statistics.median(values)
        print(f"{name:<24} {middle:5.1f} MB   {middle / base:3.1f} x bare   ({min(values):.1f} to {max(values):.1f})")
    print(f"aim: idle at most {AIM_MB} MB, after {RENEWALS} fetches from instance metadata")


def uss_mb(pid: int) -> float:
    """Return what would be free if the process ended, in MB of 10^6 bytes."""
    counted = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB", counted, re.MULTILINE)) * 1024 / 1e6


def _wait_for_renewals(cloud: object, since: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while len(cloud.log("imds", "credentials", since=since)) < RENEWALS:  # type: ignore[attr-defined]  # a remote's
        if time.monotonic() > until:
            raise SystemExit("the agent does not renew")
        time.sleep(0.2)
    time.sleep(IDLE_S)


if __name__ == "__main__":
    main()
