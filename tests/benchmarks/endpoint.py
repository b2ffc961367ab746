"""A request to the endpoint under load: its processor time, its median and its 99th percentile, all checks included.

Beside asyncio and httptools with nothing checked, by the same interpreter, and beside the programs of the same kind
that are on PATH; where Go is, beside its HTTP server with the token compared and nothing else. The load is `wrk`'s
where that is installed, else a generator's of our own, which takes most of a core for itself: then all latencies are
upper bounds.
"""

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from credagent.bundle.contents import GoogleAccessTokenGrant
from credagent.credentials import Slot, Statement
from credagent.handover.http import aws_endpoint
from credagent.secret import Secret
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, progress

CONNECTIONS = (1, 16, 64, 256)
ROUNDS, ROUND_S = 3, 2
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
FLOOR = "asyncio and httptools"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
CONFIGURATION = '[aws]\nhandover = "endpoint"\n[endpoint]\nlisten = ["127.0.0.1:0"]\n'
AWS, GOOGLE = "AWS", "Google"
AIMS = {"processor": Aim(0.5, "ratio"), "p99": Aim(1.0, "ratio")}  # beside programs of the same kind

BARE_SERVER = """
import asyncio, httptools
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)
    def data_received(self, data):
        self.parser.feed_data(data)
    def on_message_complete(self):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1300\\r\\n\\r\\n" + b"x" * 1300)
async def serve():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(serve())
"""

GO_SERVER = """
package main

import (
    "crypto/subtle"
    "encoding/json"
    "fmt"
    "net"
    "net/http"
    "os"
    "strings"
    "time"
)

func main() {
    token, ends := []byte(os.Args[1]), time.Now().Add(time.Hour).UTC()
    listener, err := net.Listen("tcp", "127.0.0.1:0")
    if err != nil {
        panic(err)
    }
    fmt.Println(listener.Addr().(*net.TCPAddr).Port)
    panic(http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
        if subtle.ConstantTimeCompare([]byte(request.Header.Get("Authorization")), token) != 1 {
            answer.WriteHeader(http.StatusForbidden)
            return
        }
        answer.Header().Set("Content-Type", "application/json")
        json.NewEncoder(answer).Encode(map[string]string{
            "AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SecretAccessKey": strings.Repeat("s", 40),
            "Token": strings.Repeat("t", 1000), "Expiration": ends.Format(time.RFC3339),
        })
    })))
}
"""


class Served(Struct, frozen=True, kw_only=True):
    """Something that answers over HTTP."""

    pid: int
    port: int
    path: str
    headers: tuple[str, ...] = ()


class Load(Struct, frozen=True, kw_only=True):
    """What came of one load: the server's processor time for a request, and how long its answer took."""

    cpu_us: float
    p50_ms: float
    p99_ms: float


def figures(installed: node.Installed) -> Iterator[Figure]:
    """Measure all servers in turn, for each number of connections."""
    generate = _wrk if shutil.which("wrk") else _own
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder, ExitStack() as running:
        servers = {FLOOR: running.enter_context(_bare_server(installed))}
        servers |= running.enter_context(_agent(installed, Path(folder)))
        peers = {
            name: running.enter_context(start(Path(folder))) for name, start in PEERS.items() if shutil.which(name)
        }
        for connections in CONNECTIONS:
            taken: dict[str, list[Load]] = {name: [] for name in (*servers, *peers)}
            for number in range(ROUNDS):
                progress(f"endpoint: {connections} connections, round {number + 1} of {ROUNDS}")
                for name, served in (servers | peers).items():
                    taken[name].append(_loaded(served, connections, generate))
            for name in (AWS, GOOGLE):
                yield from _beside(f"{name}, {connections} connections", taken[name], FLOOR, taken[FLOOR], {})
            for peer in peers:
                yield from _beside(f"{AWS}, {connections} connections", taken[AWS], peer, taken[peer], AIMS)


def _beside(name: str, ours: list[Load], other: str, theirs: list[Load], aims: Mapping[str, Aim]) -> Iterator[Figure]:
    kinds: Mapping[str, tuple[str, Callable[[Load], float]]] = {
        "processor": ("µs", lambda load: load.cpu_us),
        "p50": ("ms", lambda load: load.p50_ms),
        "p99": ("ms", lambda load: load.p99_ms),
    }
    for kind, (unit, of) in kinds.items():
        yield Figure(
            name=f"{name}, {kind}",
            unit=unit,
            values=tuple(map(of, ours)),
            beside=other,
            reference=tuple(map(of, theirs)),
            aim=aims.get(kind),
        )


def _loaded(served: Served, connections: int, generate: Callable[[Served, int], tuple[int, float, float]]) -> Load:
    before = node.cpu_s(served.pid)
    answered, p50_ms, p99_ms = generate(served, connections)
    return Load(cpu_us=(node.cpu_s(served.pid) - before) / answered * 1e6, p50_ms=p50_ms, p99_ms=p99_ms)


def _wrk(served: Served, connections: int) -> tuple[int, float, float]:
    """Return how many requests were answered, and the percentiles in milliseconds."""
    headers = [part for header in served.headers for part in ("-H", header)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{ROUND_S}s", "--latency", *headers]
    url = f"http://127.0.0.1:{served.port}{served.path}"
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    answered, p50, p99 = (
        re.search(pattern, said) for pattern in (r"(\d+) requests in", _percentile(50), _percentile(99))
    )
    if "Non-2xx" in said or answered is None or p50 is None or p99 is None:
        raise RuntimeError(said)
    return int(answered[1]), *(float(found[1]) * UNITS_MS[found[2]] for found in (p50, p99))  # type: ignore[return-value]  # three numbers


def _percentile(which: int) -> str:
    return rf"{which}%\s+([\d.]+)(us|ms|s)"


def _own(served: Served, connections: int) -> tuple[int, float, float]:
    return asyncio.run(_load(served, connections))


async def _load(served: Served, connections: int) -> tuple[int, float, float]:
    lines = [f"GET {served.path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", *served.headers, "", ""]
    request, loop, latencies = "\r\n".join(lines).encode(), asyncio.get_running_loop(), list[float]()
    ends = time.perf_counter() + ROUND_S
    made = await asyncio.gather(
        *(
            loop.create_connection(lambda: _Caller(request, latencies, ends), "127.0.0.1", served.port)
            for _ in range(connections)
        )
    )
    await asyncio.gather(*(caller.ended for _, caller in made))
    cuts = statistics.quantiles(latencies, n=100)
    return len(latencies), cuts[49] * 1000, cuts[98] * 1000


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


@contextmanager
def _bare_server(installed: node.Installed) -> Iterator[Served]:
    command = [*installed.bare[:-1], BARE_SERVER]
    with subprocess.Popen(command, env=node.clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Served(pid=process.pid, port=int(process.stdout.readline() if process.stdout else ""), path="/")
        finally:
            process.kill()


@contextmanager
def _agent(installed: node.Installed, folder: Path) -> Iterator[dict[str, Served]]:
    """Run an agent that holds a session and a token."""
    machine = node.make(folder, CONFIGURATION)
    granted, ends = node.bundle(), datetime.now(UTC) + timedelta(hours=1)
    token = GoogleAccessTokenGrant(access_token=Secret("t" * 1000), expires_at=ends)
    node.put(
        machine, structs.replace(granted, slots=dict.fromkeys(Slot, Statement.GRANTED), grants=(*granted.grants, token))
    )
    with node.agent(installed, machine) as (process, _):
        port = node.endpoint_port(machine)
        bearer = f"Authorization: {(machine.folder / 'run' / 'token').read_text()}"
        yield {
            AWS: Served(pid=process.pid, port=port, path=aws_endpoint.PATH, headers=(bearer,)),
            GOOGLE: Served(pid=process.pid, port=port, path=TOKEN_PATH, headers=("Metadata-Flavor: Google",)),
        }


@contextmanager
def _aws_vault(folder: Path) -> Iterator[Served]:
    """Run aws-vault's server for container credentials."""
    prompt = folder / "zenity"  # its server refuses to be started where it could only ask a terminal; this is not run
    prompt.write_text("#!/bin/sh\n")
    prompt.chmod(0o700)
    environ = _profile(folder) | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "AWS_VAULT_PROMPT": "zenity",
        "AWS_VAULT_BACKEND": "file",
        "AWS_VAULT_FILE_PASSPHRASE": "bench",
        "AWS_VAULT_FILE_DIR": str(folder / "vault"),
    }
    told = 'echo "$AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN"; exec cat'
    command = ["aws-vault", "exec", "bench", "--ecs-server", "--", "sh", "-c", told]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            url, _, token = (process.stdout.readline() if process.stdout else "").strip().partition(" ")
            if not token:
                raise RuntimeError("aws-vault did not start")
            port, _, path = url.removeprefix("http://127.0.0.1:").partition("/")
            yield Served(pid=process.pid, port=int(port), path=f"/{path}", headers=(f"Authorization: {token}",))
        finally:
            process.communicate()  # its program ends, and it does


def _profile(folder: Path) -> dict[str, str]:
    """Return an environment with a profile `bench`, whose session a program gives."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SecretAccessKey": "s" * 40, "SessionToken": "t" * 1000}
    (folder / "session.json").write_text(json.dumps({"Version": 1, **keys, "Expiration": ends}))
    config = folder / "aws-config"
    config.write_text(f"[profile bench]\nregion = eu-central-1\ncredential_process = cat {folder}/session.json\n")
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_CONFIG_FILE": str(config)}


@contextmanager
def _go_server(folder: Path) -> Iterator[Served]:
    """Run Go's own HTTP server, which compares the token and encodes the document: what a peer in Go does at least."""
    progress("endpoint: Go compiles the server that is measured beside")
    (folder / "main.go").write_text(GO_SERVER)
    subprocess.run(["go", "build", "-o", "go-server", "main.go"], cwd=folder, check=True, capture_output=True)
    token = "k" * 43
    with subprocess.Popen([folder / "go-server", token], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline() if process.stdout else "")
            yield Served(pid=process.pid, port=port, path="/", headers=(f"Authorization: {token}",))
        finally:
            process.kill()


PEERS: Mapping[str, Callable[[Path], AbstractContextManager[Served]]] = {"aws-vault": _aws_vault, "go": _go_server}
"""What serves container credentials over loopback, by the program that has to be on PATH."""
