"""`exec`'s end of the agent's socket: the set that a program starts with, and every later one. No environment here.

The wire is described in `handover/unix/protocol`; the worker's own end is `worker/credagent_worker`, of no package.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time

from credagent import log
from credagent.errors import CredagentError, PermissionRefused, Unavailable
from credagent.worker.credagent_worker import ANSWER_BYTES, refuse_stranger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    Document = dict[str, Any]

LONGEST_LINE_BYTES = ANSWER_BYTES
CHUNK_BYTES = 1 << 16
ANSWER_S = 5.0  # an agent answers from memory, in milliseconds
RECONNECT_S = 1.0


class AgentSubscription:
    """One connection after another to the agent's socket; reconnects when the agent restarts."""

    def __init__(self, path: str) -> None:
        """Connect and subscribe. Raises OSError where nobody listens, or a stranger in the agent's place."""
        self.path = path
        self._buffer = b""
        self._parts: list[Document] = []  # of a set that is larger than a line may be
        self._retry_at: float | None = None
        self._connection: socket.socket | None = None
        self._connect()

    @classmethod
    def try_connect(cls, path: str) -> Self | None:
        """Return a subscription, None where nobody listens."""
        try:
            return cls(path)
        except OSError:
            return None

    def fileno(self) -> int:
        """Return what to poll, negative while there is no connection."""
        return -1 if self._connection is None else self._connection.fileno()

    def close(self) -> None:
        """Leave the agent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def revive(self) -> float | None:
        """Reconnect if that is due; return the monotonic time of the next attempt."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            try:
                self._connect()
            except OSError:
                self._retry_at = time.monotonic() + RECONNECT_S
        return self._retry_at

    def newest(self) -> Document | None:
        """Return the newest set that has arrived, None where there is none yet. Never blocks. Raises on a refusal."""
        if self._connection is None:
            return None
        found: Document | None = None
        for line in self._lines(self._connection):
            answer = json.loads(line)
            if not answer.get("ok"):
                raise _refusal(answer)
            if answer.get("event") == "set":
                self._parts.append(answer)
                if not answer.get("more"):
                    found, self._parts = _united(self._parts), []
        if found is not None and "again_s" in found:  # the agent has no place for one more subscriber
            self.close()
            self._retry_at = time.monotonic() + float(found["again_s"])
        return found

    def wait(self, timeout_s: float) -> Document | None:
        """Return the next set, or None after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            found = self.newest()
            if found is not None:
                return found
            select.select([self] if self.fileno() >= 0 else [], [], [], left_s)
        return None

    def applied(self, document: Document) -> None:
        """Say which set the program has, for `status`."""
        if self._connection is not None:
            answer = json.dumps({"op": "applied", "generation": document["generation"]})
            with contextlib.suppress(OSError):  # it will be found out when reading
                self._connection.sendall(answer.encode() + b"\n")

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(ANSWER_S)
            connection.connect(self.path)
            refuse_stranger(connection, self.path)
            connection.sendall(b'{"op":"subscribe","role":"exec"}\n')
            connection.settimeout(0)
        except OSError:
            connection.close()
            raise
        self._connection, self._buffer, self._parts, self._retry_at = connection, b"", [], None

    def _lines(self, connection: socket.socket) -> list[bytes]:
        whole: list[bytes] = []
        while True:
            try:
                chunk = connection.recv(CHUNK_BYTES)
            except BlockingIOError:
                return whole
            except OSError:
                chunk = b""
            *lines, self._buffer = (self._buffer + chunk).split(b"\n")
            whole += lines
            if not chunk or len(self._buffer) > LONGEST_LINE_BYTES:
                self._lost()
                return whole

    def _lost(self) -> None:
        log.info("agent_connection_lost", socket=os.path.basename(self.path))
        self.close()
        self._retry_at = time.monotonic() + RECONNECT_S


def _united(parts: list[Document]) -> Document:
    """Return a set of its parts: what is taken back is in all of them, the rest in the last."""
    overwrite = {name: value for part in parts for name, value in part.get("overwrite", {}).items()}
    scrub = [name for part in parts for name in part.get("scrub", ())]
    return {**parts[-1], "overwrite": overwrite, "scrub": scrub}


def settled(document: Document) -> bool:
    """Tell whether each slot was tried."""
    return bool(document.get("settled"))


def complete(document: Document) -> bool:
    """Tell whether each slot was tried, and those that are required are filled."""
    slots = document.get("slots", {}).values()
    return settled(document) and all(slot.get("filled") for slot in slots if slot.get("required"))


def _refusal(answer: Document) -> CredagentError:
    code, why, hint = (str(answer.get(name) or "") for name in ("code", "message", "hint"))
    if code == "not-allowed":
        return PermissionRefused(code, why, what="the agent's socket", hint=hint)
    return Unavailable(code, why, what="the agent's socket", hint=hint)
