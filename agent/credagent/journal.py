"""Log events in systemd's journal with each of their fields: `journalctl -u credagent CREDAGENT_EVENT=bundle_refused`.

The native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram an event, a field a line. The whole event is also
the message, as it would be on standard error: nobody who reads lines reads something else (ADR-02-journal.md).
"""

import json
import socket
from collections.abc import Iterator, Mapping

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "credagent"


def opened(path: str = SOCKET) -> "Journal | None":
    """Return the journal of this machine, None where none listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(0)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return Journal(sock)


class Journal:
    """A way to the journal that waits for nobody."""

    def __init__(self, sock: socket.socket) -> None:
        """Own `sock`, which is connected."""
        self._sock = sock

    def send(self, line: str, priority: int, event: Mapping[str, object]) -> bool:
        """Send one event; False where the journal does not take it: busy, gone, or the event is too large."""
        try:
            self._sock.send(datagram(line, priority, event))
        except OSError:
            return False
        return True


def datagram(line: str, priority: int, event: Mapping[str, object]) -> bytes:
    """Return an event as the journal takes it."""
    return b"".join(
        name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
        for name, value in ((name, text.encode("utf-8", "replace")) for name, text in _fields(line, priority, event))
    )


def _fields(line: str, priority: int, event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", line
    yield "PRIORITY", str(priority)
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    for name, value in event.items():
        if value is not None:
            yield f"CREDAGENT_{name.upper()}", value if isinstance(value, str) else json.dumps(value)
