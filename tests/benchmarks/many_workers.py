"""A machine with hundreds of processes: what they cost a restarted agent, and how soon a bundle is in all of them."""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from credagent.bundle.contents import Bundle
from credagent.system import open_file_limit
from credagent.worker import credagent_worker
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, in_turn, progress

SUBSCRIBERS, ROUNDS = 500, 7
PROCESSES, BUNDLES = 64, 9
HELD_S, HOLDS = 3.0, 3
SUBSCRIBE = b'{"op":"subscribe","role":"worker"}\n'
NEARLY_AS_SOON, STATUS_MS, ALL_MS, RELEASED_MS = Aim(1.2, "ratio"), Aim(20.0), Aim(200.0), Aim(100.0)

PROCESS = """
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

HOLDER = """
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


class Crowd(Struct, frozen=True, kw_only=True):
    """What subscribers saw of an agent that was started: milliseconds from its start to the first and last answer."""

    first_ms: float
    last_ms: float
    cpu_us: float
    status_ms: float
    status_cpu_ms: float


def figures(installed: node.Installed) -> Iterator[Figure]:
    """Measure an agent with a bundle in force."""
    open_file_limit.make_room()
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(Path(folder))
        node.put(machine, node.bundle())
        progress(f"many_workers: an agent started under {SUBSCRIBERS} subscribers, and under one")
        yield from _restarts(installed, machine)
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        machine = node.make(Path(folder))
        node.put(machine, _value("0"))
        with node.agent(installed, machine):
            progress(f"many_workers: a bundle to {PROCESSES} processes")
            yield _fan_out(machine)
            progress("many_workers: a process that holds its GIL")
            yield _held(machine)


def _restarts(installed: node.Installed, machine: node.Node) -> Iterator[Figure]:
    seen: dict[int, list[Crowd]] = {1: [], SUBSCRIBERS: []}

    def restart(count: int) -> float:
        seen[count].append(_restart(installed, machine, count))
        return seen[count][-1].first_ms

    in_turn(ROUNDS, {str(count): partial(restart, count) for count in seen})
    one, many = seen[1][1:], seen[SUBSCRIBERS][1:]
    alone, beside = tuple(crowd.first_ms for crowd in one), "one subscriber"
    yield Figure(
        name=f"restarted under {SUBSCRIBERS}, first answer",
        unit="ms",
        values=tuple(crowd.first_ms for crowd in many),
        beside=beside,
        reference=alone,
        aim=NEARLY_AS_SOON,
    )
    last = tuple(crowd.last_ms for crowd in many)
    yield Figure(
        name=f"restarted under {SUBSCRIBERS}, last answer", unit="ms", values=last, beside=beside, reference=alone
    )
    yield Figure(name="processor for a subscriber", unit="µs", values=tuple(crowd.cpu_us for crowd in many))
    yield Figure(
        name=f"status with {SUBSCRIBERS} workers",
        unit="ms",
        values=tuple(crowd.status_ms for crowd in many),
        beside=beside,
        reference=tuple(crowd.status_ms for crowd in one),
        aim=STATUS_MS,
    )
    cost = tuple(crowd.status_cpu_ms for crowd in many)
    yield Figure(name="processor for that status", unit="ms", values=cost)


def _restart(installed: node.Installed, machine: node.Node, count: int) -> Crowd:
    """Start an agent while `count` subscribers try to connect; they wait in its backlog before it can answer."""
    command = [*installed.credagent, "run", "--config", str(machine.config)]
    with (machine.folder / "agent.log").open("ab") as log, ExitStack() as opened:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=node.clean_environment(), stdout=log, stderr=log)
        opened.callback(process.wait)
        opened.callback(process.terminate)
        selector = opened.enter_context(selectors.DefaultSelector())
        first_ms = last_ms = 0.0
        for _ in range(count):
            subscriber = opened.enter_context(_connected(machine))
            subscriber.sendall(SUBSCRIBE)
            selector.register(subscriber, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(node.READY_S):
                last_ms = (time.perf_counter() - began) * 1000
                first_ms = first_ms or last_ms
                if os.read(key.fd, 1 << 20).endswith(b"\n"):
                    selector.unregister(key.fileobj)
        time.sleep(0.5)
        cpu_us = _cost_of_more(machine, process.pid, opened) if count > 1 else 0.0
        node.ask(machine, "status")
        time.sleep(1.1)  # a status is good for a second
        asked, before = time.perf_counter(), node.cpu_s(process.pid)
        node.ask(machine, "status")
        status_ms, status_cpu_ms = (time.perf_counter() - asked) * 1000, (node.cpu_s(process.pid) - before) * 1000
    return Crowd(first_ms=first_ms, last_ms=last_ms, cpu_us=cpu_us, status_ms=status_ms, status_cpu_ms=status_cpu_ms)


def _cost_of_more(machine: node.Node, pid: int, opened: ExitStack) -> float:
    """Return the microseconds of processor for each of a hundred more, of an agent that has nothing else to do."""
    before, more = node.cpu_s(pid), [opened.enter_context(_connected(machine)) for _ in range(100)]
    for subscriber in more:
        subscriber.sendall(SUBSCRIBE)
    for subscriber in more:
        while not subscriber.recv(1 << 20).endswith(b"\n"):
            pass
    return (node.cpu_s(pid) - before) / len(more) * 1e6


def _connected(machine: node.Node) -> socket.socket:
    until = time.monotonic() + node.READY_S
    while True:
        connecting = socket.socket(socket.AF_UNIX)
        connecting.settimeout(node.READY_S)
        try:
            connecting.connect(str(machine.socket))
        except OSError:
            connecting.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.0005)
        else:
            return connecting


def _fan_out(machine: node.Node) -> Figure:
    """Return how long a bundle takes from its renaming into the last process; they hold the worker's side alone."""
    with ExitStack() as running:
        processes = [running.enter_context(_process(machine, PROCESS)) for _ in range(PROCESSES)]
        _arrivals(processes, "0")
        last = []
        for number in map(str, range(1, BUNDLES + 1)):
            time.sleep(0.2)
            renamed_at = node.put(machine, _value(number))
            last.append((max(_arrivals(processes, number)) - renamed_at) * 1000)
    name = f"bundle renamed, until in {PROCESSES} processes"
    return Figure(name=name, unit="ms", values=tuple(last), aim=ALL_MS)


def _arrivals(processes: "list[subprocess.Popen[str]]", value: str) -> list[float]:
    """Return when each process had `value`; each says so itself, as asking it would cost the others their turn."""
    arrivals = []
    for process in processes:
        found, at = "", ""
        while found != value:
            found, at = (process.stdout.readline() if process.stdout else "").split()
        arrivals.append(float(at))
    return arrivals


def _held(machine: node.Node) -> Figure:
    """Return how long a value takes into a process whose GIL a task held while the bundle arrived."""
    with _process(machine, HOLDER, str(HELD_S)) as holder:
        assert holder.stdin
        assert holder.stdout
        delays_ms = []
        for number in map(str, range(BUNDLES + 1, BUNDLES + 1 + HOLDS)):
            holder.stdin.write(f"{number}\n")
            holder.stdin.flush()
            holder.stdout.readline()
            time.sleep(HELD_S / 3)
            node.put(machine, _value(number))
            delays_ms.append(float(holder.stdout.readline()))
    name = "a GIL released, until the value is in"
    return Figure(name=name, unit="ms", values=tuple(delays_ms), aim=RELEASED_MS)


@contextmanager
def _process(machine: node.Node, program: str, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    path = str(Path(credagent_worker.__file__).parent)
    command = [sys.executable, "-S", "-c", program, path, *arguments]
    environ = {"CREDAGENT_SOCKET": str(machine.socket)}
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _value(number: str) -> Bundle:
    return node.bundle(aws=False, variables={"VALUE": number})
