"""The loopback endpoint under load: requests per second and p99 with 1, 16 and 64 connections, all checks included.

`python -m tests.benchmarks.bench_endpoint` serves in a process of its own and loads it with `wrk` where that is
installed, else with a small generator of its own, which takes most of a core for itself: its figures are a lower bound.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import httptools

from tests.integration.listening import PATH, TOKEN, TOKEN_PATH, listening

CONNECTIONS = (1, 16, 64)
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
TARGET_PER_S, TARGET_P99_MS = 40_000, 3.0


def main() -> None:
    """Measure and print; `--json` for programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--generator", choices=("auto", "wrk", "own"), default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wrk = shutil.which("wrk") if options.generator in ("auto", "wrk") else None
    rows = measure(wrk, options.seconds)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"load: {'wrk' if wrk else 'own generator (a lower bound)'}, {os.cpu_count()} cores")
    for row in rows:
        what = f"{row['face']:7} {row['connections']:3} connections"
        print(
            f"{what} {row['per_s']:9,.0f}/s   p99 {row['p99_ms']:6.2f} ms   {row['cpu_us']:5.1f} µs of processor each"
        )
    print(f"endpoint process: {rows[-1]['rss_mb']:.0f} MB; aim: {TARGET_PER_S:,}/s, p99 < {TARGET_P99_MS} ms at 64")


class _Floor(asyncio.Protocol):
    """What httptools and asyncio cost with nothing checked: on a busy machine the comparison is what counts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300)


def _serve_floor(pipe: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Floor, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(serve())


def measure(wrk: str | None, seconds: int) -> list[dict[str, Any]]:
    """Return one row for each face and number of connections."""
    rows = []
    for face, path, serve in (("floor", "/", _serve_floor), ("aws", PATH, _serve), ("google", TOKEN_PATH, _serve)):
        with served(serve) as (port, pid):
            for connections in CONNECTIONS:
                before = _cpu_s(pid)
                load = (_wrk if wrk else _own)(port, path, connections, seconds)
                cpu_us = (_cpu_s(pid) - before) / (load["per_s"] * seconds) * 1e6
                rows.append(
                    {"face": face, "connections": connections, **load, "cpu_us": cpu_us, "rss_mb": _rss_mb(pid)}
                )
    return rows


@contextmanager
def served(serve: Callable[[Connection], None]) -> Iterator[tuple[int, int]]:
    """Serve in another process, as the agent does, and give its port and process id."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    try:
        yield ours.recv(), server.pid or 0
    finally:
        ours.send(None)
        server.join()


def _serve(pipe: Connection) -> None:
    with listening(admitted=frozenset({os.geteuid()})) as house:
        pipe.send(house.port)
        pipe.recv()


def _wrk(port: int, path: str, connections: int, seconds: int) -> dict[str, float]:
    headers = ["-H", f"Authorization: {TOKEN}", "-H", "Metadata-Flavor: Google"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *headers]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if p99 is None or rate is None:
        raise RuntimeError(done.stdout)
    return {"per_s": float(rate[1]), "p99_ms": float(p99[1]) * UNITS_MS[p99[2]]}


def _own(port: int, path: str, connections: int, seconds: int) -> dict[str, float]:
    return asyncio.run(_load(port, path, connections, seconds))


async def _load(port: int, path: str, connections: int, seconds: int) -> dict[str, float]:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: {TOKEN}", "Metadata-Flavor: Google"]
    request = "\r\n".join([*lines, "", ""]).encode()
    loop, latencies = asyncio.get_running_loop(), list[float]()
    ends = time.perf_counter() + seconds
    callers = [
        loop.create_connection(lambda: _Caller(request, latencies, ends), "127.0.0.1", port) for _ in range(connections)
    ]
    made = await asyncio.gather(*callers)
    await asyncio.gather(*(caller.ended for _, caller in made))
    return {"per_s": len(latencies) / seconds, "p99_ms": statistics.quantiles(latencies, n=100)[98] * 1000}


class _Caller(asyncio.Protocol):
    """Asks again as soon as it was answered (an answer here arrives in one piece)."""

    def __init__(self, request: bytes, latencies: list[float], ends: float) -> None:
        self._request, self._latencies, self._ends = request, latencies, ends
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("an answer was not a 200")
        self._latencies.append(now - self._asked)
        if now < self._ends:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)


def _cpu_s(pid: int) -> float:
    """Return the processor time the server has used: what an answer costs, however busy the machine is."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
