"""From a bundle renamed into the inbox until its value is in all of 64 worker processes: median and worst.

The processes hold the worker's side without the rest of Dask: 64 whole workers would measure the machine's memory.
Each says when it set the value; asking it would cost the others their turn.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from credagent.worker import credagent_worker
from tests.benchmarks import node

PROCESSES, BUNDLES = 64, 15
AIM_WORST_MS = 200
NAME = "VALUE"

PROGRAM = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import credagent_worker
put = credagent_worker._set
def timed(values):
    put(values)
    if "VALUE" in values:
        print(values["VALUE"], time.time(), flush=True)
credagent_worker._set = timed
session = credagent_worker.start("worker")
session.wait()
sys.stdin.read()
"""


def main() -> None:
    """Deliver bundle after bundle to one agent and its 64 processes."""
    worst, median = [], []
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(Path(folder))
        node.put(machine, node.bundle(aws=False, variables={NAME: "0"}))
        with node.agent(machine):
            processes = [_worker(machine) for _ in range(PROCESSES)]
            try:
                _arrivals(processes, "0")
                for number in range(1, BUNDLES + 1):
                    time.sleep(0.2)
                    letter = node.bundle(aws=False, variables={NAME: str(number)})
                    renamed_at = node.put(machine, letter)
                    delays = [(at - renamed_at) * 1000 for at in _arrivals(processes, str(number))]
                    worst.append(max(delays))
                    median.append(statistics.median(delays))
            finally:
                for process in processes:
                    process.kill()
                    process.communicate()
    print(f"a bundle of {BUNDLES}, {PROCESSES} processes: median {statistics.median(median):.1f} ms to a process,")
    print(f"to the last one {statistics.median(worst):.1f} ms in the middle, {max(worst):.1f} ms at worst")
    print(f"aim: below {AIM_WORST_MS} ms at worst; beside a bare interpreter's start of {node.bare_ms():.1f} ms")


def _worker(machine: node.Node) -> "subprocess.Popen[str]":
    path = str(Path(credagent_worker.__file__).parent)
    command = [sys.executable, "-S", "-c", PROGRAM, path]
    environ = {"CREDAGENT_SOCKET": str(machine.socket)}
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _arrivals(processes: "list[subprocess.Popen[str]]", value: str) -> list[float]:
    """Return when each process had `value`."""
    arrivals = []
    for process in processes:
        found, at = "", ""
        while found != value:
            found, at = (process.stdout.readline() if process.stdout else "").split()
        arrivals.append(float(at))
    return arrivals


if __name__ == "__main__":
    main()
