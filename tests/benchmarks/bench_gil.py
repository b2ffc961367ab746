"""From the moment a task lets the GIL go, which it held while a bundle arrived, until its process has the new value."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from credagent.worker import credagent_worker
from tests.benchmarks import node

HELD_S, ROUNDS = 10.0, 3
AIM_MS = 100
NAME = "VALUE"

PROGRAM = """
import ctypes, os, sys, time
sys.path.insert(0, sys.argv[1])
import credagent_worker
credagent_worker.start("worker").wait()
for number in sys.stdin:
    print("holds", flush=True)
    released = time.monotonic() + float(sys.argv[2])  # asked afterwards, the clock would wait for the GIL as well
    ctypes.PyDLL(None).usleep(int(float(sys.argv[2]) * 1e6))  # unlike CDLL, it keeps the GIL
    while os.environ.get("VALUE") != number.strip() and time.monotonic() < released + 60:
        time.sleep(0.001)
    print((time.monotonic() - released) * 1000, flush=True)
"""


def main() -> None:
    """Let one process hold its GIL while bundle after bundle arrives."""
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(Path(folder))
        node.put(machine, node.bundle(aws=False, variables={NAME: "0"}))
        with node.agent(machine):
            path = str(Path(credagent_worker.__file__).parent)
            command = [sys.executable, "-S", "-c", PROGRAM, path, str(HELD_S)]
            environ = {"CREDAGENT_SOCKET": str(machine.socket)}
            with subprocess.Popen(
                command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as holder:
                numbers = map(str, range(1, ROUNDS + 1))
                delays_ms = [_held_while_a_bundle_arrives(holder, machine, number) for number in numbers]
                holder.communicate()
    print(f"a GIL held for {HELD_S:.0f} s: median {statistics.median(delays_ms):.1f} ms from its release to the value,")
    print(f"{max(delays_ms):.1f} ms at worst of {ROUNDS}; aim: below {AIM_MS} ms")


def _held_while_a_bundle_arrives(holder: "subprocess.Popen[str]", machine: node.Node, value: str) -> float:
    assert holder.stdin
    assert holder.stdout
    holder.stdin.write(f"{value}\n")
    holder.stdin.flush()
    holder.stdout.readline()
    time.sleep(1)
    node.put(machine, node.bundle(aws=False, variables={NAME: value}))
    return float(holder.stdout.readline())


if __name__ == "__main__":
    main()
