"""Machines as network namespaces on one bridge, a capture of what passes one of them, and a look into its memory."""

import base64
import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from tests.patience import scaled

NET = "10.213.7"
PIECE = 20  # characters; short enough to stand on one line, long enough to be nobody else's
COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
INFLATED_FROM, INFLATED_TO = 1 << 16, 1 << 20
CAPTURE = """
import socket, struct, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
tap.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)  # SO_RCVBUFFORCE
with open(sys.argv[1], "wb") as out:
    print("ready", flush=True)
    while True:
        packet = tap.recv(1 << 18)
        out.write(struct.pack("!I", len(packet)) + packet)
        out.flush()
"""


def possible() -> bool:
    """Namespaces need root, and a kernel that gives them."""
    if os.geteuid() != 0:
        return False
    with contextlib.suppress(OSError):
        if subprocess.run(["ip", "netns", "add", "ca-try"], check=False, capture_output=True).returncode == 0:
            subprocess.run(["ip", "netns", "delete", "ca-try"], check=False)
            return True
    return False


class Network:
    """A hub with a bridge at .1, and one namespace for each name, in their order at .2, .3 and so on."""

    def __init__(self, *names: str) -> None:
        self._prefix = f"ca{os.getpid() % 100_000}"
        self._names = names
        self.hub = f"{NET}.1"

    def __enter__(self) -> Self:
        ip("netns", "add", self.space("hub"))
        self._in_hub("link", "add", "bridge", "type", "bridge")
        self._in_hub("addr", "add", f"{self.hub}/24", "dev", "bridge")
        self._in_hub("link", "set", "bridge", "up")
        self._in_hub("link", "set", "lo", "up")
        for name in self._names:
            self._add(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("hub", *self._names):
            subprocess.run(["ip", "netns", "delete", self.space(name)], check=False, capture_output=True)

    def space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def address(self, name: str) -> str:
        return f"{NET}.{self._names.index(name) + 2}"

    def enter(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.space(name))

    def cut(self, name: str) -> None:
        self._in_hub("link", "set", f"v-{name}", "down")

    def mend(self, name: str) -> None:
        self._in_hub("link", "set", f"v-{name}", "up")

    def _add(self, name: str) -> None:
        space = self.space(name)
        ip("netns", "add", space)
        self._in_hub("link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", space)
        self._in_hub("link", "set", f"v-{name}", "master", "bridge", "up")
        ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")

    def _in_hub(self, *words: str) -> None:
        ip("-n", self.space("hub"), *words)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=scaled(10))


@contextlib.contextmanager
def captured(enter: Iterable[str], path: Path) -> Iterator[None]:
    """Write every packet that passes any interface of a namespace."""
    command = [*enter, sys.executable, "-c", CAPTURE, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait(5)


def streams(path: Path) -> dict[tuple[bytes, ...], bytes]:
    """The TCP payloads of a capture, joined for each direction of each connection, in the order of arrival."""
    flows: dict[tuple[bytes, ...], bytearray] = {}
    data, at = path.read_bytes(), 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("!I", data, at)
        packet, at = data[at + 4 : at + 4 + length], at + 4 + length
        if packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_TCP:
            continue
        start = 14 + (packet[14] & 15) * 4
        end = 14 + struct.unpack_from("!H", packet, 16)[0]
        payload = packet[start + (packet[start + 12] >> 4) * 4 : end]
        flows.setdefault((packet[26:34], packet[start : start + 4]), bytearray()).extend(payload)
    return {flow: bytes(payload) for flow, payload in flows.items()}


def memory_of(pid: int) -> Iterator[bytes]:
    """Every readable range of a process's memory."""
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) r", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for begin, end in ranges:
            with contextlib.suppress(OSError, ValueError, OverflowError):
                memory.seek(int(begin, 16))
                yield memory.read(int(end, 16) - int(begin, 16))


def disguises(secret: str) -> list[bytes]:
    """Both ends of the secret in every encoding this test can think of: what is folded or split in two shows an end."""
    found = []
    for end in {secret[:PIECE], secret[-PIECE:]}:
        raw = end.encode()
        found += [raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), end.swapcase().encode()]
        found += [end.encode("utf-16-le"), end.encode("utf-16-be"), end.encode("utf-32-le"), end.encode("utf-32-be")]
        found += [urllib.parse.quote(end, safe="").encode(), base64.b85encode(raw), base64.a85encode(raw)]
        found += [inner for shift in range(5) for inner in (_inner(base64.b32encode, raw, shift, 5, 8),)]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            once = [_inner(encode, raw, shift, 3, 4) for shift in range(3)]
            found += once + [_inner(encode, inner, shift, 3, 4) for inner in once for shift in range(3)]
    return list(dict.fromkeys(found))


def betrayed(secrets: Iterable[str], data: bytes) -> list[str]:
    """Say in which form which secrets are in `data`, or in what was compressed there."""
    plain = [data, *_inflated(data)]
    return [
        f"secret {number} as {disguise[:4]!r}…"
        for number, secret in enumerate(secrets)
        for disguise in disguises(secret)
        if any(disguise in part for part in plain)
    ]


def _inner(encode: Callable[[bytes], bytes], raw: bytes, shift: int, group: int, width: int) -> bytes:
    """What is the same whatever stands before and after: a text in which `raw` begins at one of `group` places."""
    encoded = encode(bytes(shift) + raw)
    whole = (shift + len(raw)) // group * width
    return encoded[width if shift else 0 : whole]


def _inflated(data: bytes) -> Iterator[bytes]:
    """What zlib and gzip have packed into `data`, wherever that begins."""
    for match in COMPRESSED.finditer(data):
        unpack = zlib.decompressobj(wbits=47)  # either kind of header
        with contextlib.suppress(zlib.error):
            yield unpack.decompress(data[match.start() : match.start() + INFLATED_FROM], INFLATED_TO)
