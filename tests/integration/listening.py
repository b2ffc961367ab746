"""The real listeners in a thread of the test, and a client that can be any user: what the endpoint's tests stand on."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from credagent.config import Address
from credagent.credentials import AwsCredentials, CredentialSet, GoogleToken, Held, Origin
from credagent.handover.http import port_binding
from credagent.handover.http.listener import Timeouts
from credagent.handover.http.listeners import ServedHandovers, start_listeners
from credagent.secret import Secret
from tests.patience import scaled

TOKEN = "token-of-this-boot"
PATH = "/aws/v1/credentials"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
ADDRESSES = (Address("127.0.0.1", 0), Address("::1", 0))
STARTED_S = 10
EMAIL = "data@project.iam.gserviceaccount.com"


@dataclass
class Listening:
    """What is listening, and what it counted; `current` may be replaced at any time."""

    port: int = 0
    current: CredentialSet = field(default_factory=lambda: CredentialSet(generation=0))
    admitted: frozenset[int] = frozenset({0})
    outcomes: Counter[str] = field(default_factory=Counter)

    def count(self, face: str, outcome: str) -> None:
        """Count one answer."""
        self.outcomes[f"{face} {outcome}"] += 1

    def request(self, path: str = PATH, *, method: str = "GET", host: str = "", **headers: str) -> bytes:
        """Return a request with everything that is demanded, and with `headers` in place or in addition."""
        named = {"Host": host or f"127.0.0.1:{self.port}", "Authorization": TOKEN, "Metadata-Flavor": "Google"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        return "\r\n".join(lines).encode()


def credential_set(generation: int, lifetime_s: float = 3600) -> CredentialSet:
    """Return a full set whose values name their generation."""
    now = datetime.now(UTC)
    ends = now + timedelta(seconds=lifetime_s)
    aws = AwsCredentials(
        access_key_id=f"ASIA{generation:016}",
        secret_access_key=Secret(f"secret-{generation}"),
        session_token=Secret(f"session-{generation}"),
        expires_at=ends,
    )
    google = GoogleToken(
        access_token=Secret(f"ya29.{generation}"),
        expires_at=ends,
        email=EMAIL,
        project="project",
        scopes=("one", "two"),
    )
    held = [Held(credentials=one, origin=Origin.BUNDLE, obtained_at=now, expires_at=ends) for one in (aws, google)]
    return CredentialSet(generation=generation, aws=held[0], google=held[1])


@contextmanager
def listening(
    *,
    admitted: frozenset[int] = frozenset({0}),
    timeouts: Timeouts = Timeouts(),  # noqa: B008  a frozen value
) -> Iterator[Listening]:
    """Serve a full set on 127.0.0.1 and [::1] to the users of `admitted`."""
    house = Listening(current=credential_set(1), admitted=admitted)
    sockets = port_binding.bind(ADDRESSES)
    house.port = port_binding.preferred(sockets).port
    started, loop = threading.Event(), asyncio.new_event_loop()

    async def serve(ended: asyncio.Event) -> None:
        listeners = await start_listeners(
            sockets,
            source=lambda _: house.current,
            now=lambda: datetime.now(UTC),
            admits=lambda uid: uid in house.admitted,
            count=house.count,
            served=ServedHandovers(token=Secret(TOKEN), google=True),
            timeouts=timeouts,
        )
        started.set()
        await ended.wait()
        await listeners.close()

    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(ended)))
    thread.start()
    assert started.wait(STARTED_S)
    try:
        yield house
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


CLIENT = """
import json, os, socket, sys
asked = json.load(sys.stdin)
family = socket.AF_INET6 if ":" in asked["address"] else socket.AF_INET
opened = socket.socket(family)
opened.settimeout(10)
def be_the_user():
    os.setgroups([]); os.setresgid(asked["uid"], asked["uid"], asked["uid"]); os.setresuid(*[asked["uid"]] * 3)
if asked["handed_down"]:
    opened.connect((asked["address"], asked["port"]))
    be_the_user()
else:
    opened.close()
    be_the_user()
    opened = socket.socket(family)
    opened.settimeout(10)
    opened.connect((asked["address"], asked["port"]))
received = b""
try:
    opened.sendall(asked["request"].encode())
    opened.shutdown(socket.SHUT_WR) if asked["half_close"] else None
    while piece := opened.recv(65536):
        received += piece
        head, _, body = received.partition(b"\\r\\n\\r\\n")
        if b"Content-Length: %d\\r\\n" % len(body) in head + b"\\r\\n":
            break
except OSError as error:
    received = received or type(error).__name__.encode()
print(json.dumps(received.decode()))
"""


def ask_as(
    house: Listening,
    uid: int,
    request: bytes,
    *,
    address: str = "127.0.0.1",
    handed_down: bool = False,
    half_close: bool = False,
) -> str:
    """Send `request` as user `uid` and return what came back; `handed_down`: over a connection that root opened."""
    asked: dict[str, Any] = {
        "uid": uid,
        "address": address,
        "port": house.port,
        "request": request.decode(),
        "handed_down": handed_down,
        "half_close": half_close,
    }
    command = [sys.executable, "-I", "-c", CLIENT]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=scaled(30)
    )
    return str(json.loads(done.stdout))
