"""From exec until ready, and until the first answer; commands that ask a running agent. Beside a bare interpreter."""

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from credagent.handover.http import aws_endpoint
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, in_turn, progress

ROUNDS, COMMAND_ROUNDS = 11, 9
BARE = "bare interpreter"
READY, ANSWERED = Aim(4.5, "ratio"), Aim(6.0, "ratio")
GAP_MS = Aim(20.0)
THIN = Aim(2.0, "ratio")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "credential-process": ("credential-process",),
    "status": ("status", "--json"),
    "env": ("env", "--format", "names"),
    "renew": ("renew", "environment"),
    "worker-path": ("worker-path",),
    "exec, attached": ("exec", "--", "/bin/true"),
}


def figures(installed: node.Installed) -> Iterator[Figure]:
    """Measure with a bundle in place that grants `aws` and `environment`, and the endpoint served."""
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(
            Path(folder),
            '[aws]\nhandover = "endpoint"\n[google]\nhandover = "off"\n[endpoint]\nlisten = ["127.0.0.1:0"]\n',
        )
        node.put(machine, node.bundle())
        progress("startup: an agent started again and again")
        yield from _agent(installed, machine)
        with node.agent(installed, machine):
            for name, command in COMMANDS.items():
                progress(f"startup: credagent {name}")
                yield _command(installed, machine, name, command)


def _agent(installed: node.Installed, machine: node.Node) -> Iterator[Figure]:
    starts: list[tuple[float, float, float]] = []

    def start() -> float:
        began = time.perf_counter()
        with node.agent(installed, machine) as (process, ready_ms):
            _first_answer(machine)
            starts.append((ready_ms, (time.perf_counter() - began) * 1000, node.cpu_s(process.pid) * 1000))
        return ready_ms

    taken = in_turn(ROUNDS, {BARE: _bare(installed), "READY": start})
    ready, answered, cost = zip(*starts[1:], strict=True)
    gaps = tuple(then - at for at, then, _ in starts[1:])
    bare_cost = tuple(node.cpu_ms(installed.bare, node.clean_environment()) for _ in range(ROUNDS))
    yield Figure(name="READY", unit="ms", values=ready, beside=BARE, reference=taken[BARE], aim=READY)
    yield Figure(
        name="first answer of the endpoint",
        unit="ms",
        values=answered,
        beside=BARE,
        reference=taken[BARE],
        aim=ANSWERED,
    )
    yield Figure(name="from READY to that answer", unit="ms", values=gaps, aim=GAP_MS)
    yield Figure(name="processor until that answer", unit="ms", values=cost, beside=BARE, reference=bare_cost)


def _first_answer(machine: node.Node) -> None:
    """Ask the endpoint as a worker does that was started by then."""
    asked = http.client.HTTPConnection("127.0.0.1", node.endpoint_port(machine), timeout=node.READY_S)
    asked.request("GET", aws_endpoint.PATH, headers={"Authorization": (machine.folder / "run" / "token").read_text()})
    answer = json.loads(asked.getresponse().read())
    asked.close()
    if not answer["AccessKeyId"]:
        raise RuntimeError("the endpoint answered without a key")


def _command(installed: node.Installed, machine: node.Node, name: str, command: tuple[str, ...]) -> Figure:
    environ = {
        **node.clean_environment(),
        "CREDAGENT_AGENT_RUNTIME_DIR": str(machine.folder / "run"),
        "CREDAGENT_AGENT_STATE_DIR": str(machine.folder / "state"),
    }
    taken = in_turn(
        COMMAND_ROUNDS,
        {BARE: _bare(installed), name: lambda: node.timed_ms([*installed.credagent, *command], environ)},
    )
    return Figure(name=f"credagent {name}", unit="ms", values=taken[name], beside=BARE, reference=taken[BARE], aim=THIN)


def _bare(installed: node.Installed) -> Callable[[], float]:
    return lambda: node.timed_ms(installed.bare, node.clean_environment())
