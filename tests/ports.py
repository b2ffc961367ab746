"""Ports for servers that must be told theirs before they begin.

They lie below the range from which the kernel gives ports to connections and to whoever asks for any: a port of that
range can be taken again between the moment when it is found free and the moment when the server binds it.
"""

import contextlib
import itertools
import random
import socket
from pathlib import Path

_PORTS = 10_000
_first_of_the_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
# Each process begins elsewhere, since several run tests at once.
_next = itertools.count(random.randrange(_PORTS))


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody holds, and that this process did not return before."""
    while True:
        port = _first_of_the_kernel - 1 - next(_next) % _PORTS
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            return port
