"""Exec until ready, with a bundle in place that grants `aws` and `environment`; beside a bare interpreter."""

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks import node

RUNS = 15
AIM_MS = 120


def main() -> None:
    """Measure in turn, A B A B, so that a machine whose speed drifts does not decide the ratio."""
    bare, ready, answered = [], [], []
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(Path(folder))
        node.put(machine, node.bundle())
        for run in range(RUNS + 1):
            bare_ms = node.bare_ms()
            began = time.perf_counter()
            with node.agent(machine) as (_, ready_ms):
                state = node.ask(machine, "set")["settled"]
                answered_ms = (time.perf_counter() - began) * 1000
            if state is not True:
                raise SystemExit("the agent answered before it was ready")
            if run:  # the first one compiles
                bare.append(bare_ms)
                ready.append(ready_ms)
                answered.append(answered_ms)
    base = statistics.median(bare)
    print(f"bare interpreter         {base:7.1f} ms")
    for name, values in (("READY sent", ready), ("first answer received", answered)):
        middle = statistics.median(values)
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name:<24} {middle:7.1f} ms   {middle / base:4.1f} x bare   ({spread}; median of {RUNS})")
    print(f"aim: ready below {AIM_MS} ms where a bare interpreter takes 8.7 ms ({AIM_MS / 8.7:.1f} x)")


if __name__ == "__main__":
    main()
