"""Readers that read a machine's AWS session over and over, by each way to the agent, and note every read that fails."""

import http
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from tests.canary import CANARY
from tests.integration.agents import SOON_S, Machine
from tests.patience import FACTOR

SESSION_S = 590.0  # below botocore's mandatory refresh of ten minutes: it asks for every request that it signs
PAUSE_S = 0.01  # between two reads of one reader

# Prints, for each read, the secret that a request would be signed with; an exception's name where there is none.
# Its own patience with the endpoint (three attempts of two seconds) is lengthened on a busy machine, as every wait is.
BOTOCORE = """
import sys, time, botocore.session, botocore.utils
botocore.utils.ContainerMetadataFetcher.TIMEOUT_SECONDS *= float(sys.argv[1])
botocore.session.Session().get_credentials()  # what it imports is loaded
print("loaded", flush=True)
credentials = botocore.session.Session().get_credentials()
while True:
    try:
        print(credentials.get_frozen_credentials().secret_key, flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    time.sleep(0.01)
"""


class Reader:
    """Something that reads over and over. `reads` counts what came well; `wrong` is all that did not."""

    def __init__(self) -> None:
        self.reads = 0
        self.wrong: list[str] = []

    def note(self, secret: str) -> None:
        """Take one answer."""
        if secret == CANARY:
            self.reads += 1
        else:
            self.wrong.append(secret)


def everybody_has_read_again(machine: Machine, readers: list[Reader]) -> None:
    """Wait until each reader has read twice more: the second of these reads began after this call."""
    before = [reader.reads for reader in readers]
    machine.until(
        lambda: (
            any(reader.wrong for reader in readers)
            or all(reader.reads >= reads + 2 for reader, reads in zip(readers, before, strict=True))
        ),
        4 * SOON_S,
    )
    assert [reader.wrong for reader in readers] == [[]] * len(readers)


@contextmanager
def reading_by_botocore(machine: Machine) -> Iterator[Reader]:
    """Read in a process of its own, as botocore does that is about to sign a request."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", BOTOCORE, str(FACTOR)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**machine.environ, **machine.ask("set")["environment"]},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"
    reader, lines = Reader(), process.stdout

    def read(ending: threading.Event) -> None:
        for line in lines:
            if not ending.is_set():
                reader.note(line.strip())

    try:
        with in_the_background(read):
            yield reader
            process.kill()
    finally:
        process.kill()
        process.wait()
        lines.close()


@contextmanager
def reading_by_http(machine: Machine, *, kept: bool) -> Iterator[Reader]:
    """Read by HTTP and nothing else: with a connection for each read, or with one that is kept while it can be.

    A kept connection that ends without a byte of an answer is the end of an idle one, after which a client asks anew
    (RFC 9112, 9.3.1). That is no failure; a reset is one on both.
    """
    address, head = request(machine, kept=kept)
    reader = Reader()

    def read(ending: threading.Event) -> None:
        while not ending.is_set():
            with closing(socket.create_connection(address, 4 * SOON_S)) as connection:
                try:
                    reader.note(read_once(connection, head))
                    while kept and not ending.wait(PAUSE_S):
                        try:
                            reader.note(read_once(connection, head))
                        except http.client.RemoteDisconnected:
                            break
                except (OSError, http.client.HTTPException) as error:
                    reader.note(repr(error))
            ending.wait(PAUSE_S)

    with in_the_background(read):
        yield reader


@contextmanager
def reading_by_socket(machine: Machine) -> Iterator[Reader]:
    """Read on the agent's own socket, with a connection for each read."""
    reader = Reader()

    def read(ending: threading.Event) -> None:
        while not ending.is_set():
            answered = machine.ask("credential-process")
            reader.note(answered.get("document", {}).get("SecretAccessKey", repr(answered)))
            ending.wait(PAUSE_S)

    with in_the_background(read):
        yield reader


@contextmanager
def in_the_background(read: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `read` in a thread until the block ends."""
    ending = threading.Event()
    thread = threading.Thread(target=read, args=(ending,))
    thread.start()
    try:
        yield
    finally:
        ending.set()
    thread.join(4 * SOON_S)
    assert not thread.is_alive()


def request(machine: Machine, *, kept: bool = False) -> tuple[tuple[str, int], bytes]:
    """Return where a worker asks for the AWS session, and what it asks."""
    environment = machine.ask("set")["environment"]
    host, _, path = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix("http://").partition("/")
    name, _, number = host.rpartition(":")
    token = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    connection = "keep-alive" if kept else "close"
    head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: {connection}\r\n\r\n"
    return (name, int(number)), head.encode()


@contextmanager
def asking(address: tuple[str, int], head: bytes, number: int) -> Iterator[list[socket.socket]]:
    """Give connections on each of which the request was sent, and no answer was read."""
    with ExitStack() as stack:
        asked = [stack.enter_context(socket.create_connection(address, 4 * SOON_S)) for _ in range(number)]
        for one in asked:
            one.sendall(head)
        yield asked


def read_once(connection: socket.socket, head: bytes) -> str:
    """Ask, and return the answer."""
    connection.sendall(head)
    return answer(connection)


def answer(connection: socket.socket) -> str:
    """Return the secret of the next answer, or what was answered instead.

    Raises `http.client.RemoteDisconnected` where the connection has ended in order, ConnectionResetError otherwise.
    """
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        body = response.read()
    if response.status != http.HTTPStatus.OK:
        return f"{response.status} {body.decode()}"
    secret: str = json.loads(body)["SecretAccessKey"]
    return secret
