"""What goes wrong, and when: faults that are planned for a service and used up by its requests."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .web import Response

GARBAGE = b"\x00\xff<<{]not what you asked for" * 8
SEED = 1
MAX_HANG_S = 900.0
"""A hanging request is let go after this, so that a forgotten fault cannot hold a thread for ever."""


@dataclass(frozen=True)
class Fault:
    """Concerns one service, and one of its operations or all. `times` None: until it is cleared.

    `share`: which part of those requests it strikes, by chance.

    Without an answer: `hang` (nothing is sent until the fault is cleared), `drop` (the connection is closed).
    Instead of the answer: `status` with the service's own error document for `code`, or `body` (then `status` 200).
    The real answer, bent: `delay_s`, `garbage`, `truncate` (half of the body arrives), `patch` (fields of a JSON
    document replaced, or removed by null), `headers` (added or replaced).
    """

    service: str
    operation: str | None = None
    times: int | None = None
    share: float = 1.0
    status: int | None = None
    code: str = ""
    message: str = ""
    delay_s: float = 0.0
    hang: bool = False
    drop: bool = False
    garbage: bool = False
    truncate: bool = False
    body: str | None = None
    patch: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    id: str = ""

    def matches(self, service: str, operation: str) -> bool:
        return self.service == service and self.operation in (None, operation)

    def name(self) -> str:
        """What the log shows as outcome."""
        kinds = ("hang", "drop", "garbage", "truncate", "patch", "body")
        shown = [kind for kind in kinds if getattr(self, kind) not in (False, None)]
        return "fault:" + (self.code or "+".join(shown) or (str(self.status) if self.status else "delay"))

    def bend(self, response: Response) -> Response:
        """The response as this fault leaves it; truncation is the server's, which writes the length of the whole."""
        body = response.body
        if self.garbage:
            body = GARBAGE
        elif self.patch is not None:
            body = _patched(body, self.patch)
        return Response(response.status, body, {**response.headers, **self.headers})


class Faults:
    """The planned faults, first come, first used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._gone: dict[str, threading.Event] = {}
        self._count = 0
        self._chance = random.Random(SEED)

    def plan(self, fault: Fault) -> Fault:
        with self._lock:
            self._count += 1
            named = replace(fault, id=f"fault-{self._count}")
            self._planned.append(named)
            self._gone[named.id] = threading.Event()
            return named

    def take(self, service: str, operation: str) -> Fault | None:
        with self._lock:
            for position, fault in enumerate(self._planned):
                if not fault.matches(service, operation) or self._chance.random() >= fault.share:
                    continue
                if fault.times is not None and fault.times <= 1:
                    del self._planned[position]
                elif fault.times is not None:
                    self._planned[position] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def wait_until_cleared(self, fault: Fault) -> None:
        gone = self._gone.get(fault.id)
        if gone is not None:
            gone.wait(MAX_HANG_S)

    def clear(self, fault: str | None = None, service: str | None = None) -> None:
        """One by its id, those of a service, or all; lets go of the requests that hang on them."""
        with self._lock:
            for planned in list(self._planned):
                if fault in (None, planned.id) and service in (None, planned.service):
                    self._planned.remove(planned)
            for name, event in self._gone.items():
                if fault in (None, name):
                    event.set()

    def planned(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._planned]


def _patched(body: bytes, patch: Mapping[str, Any]) -> bytes:
    document = json.loads(body)
    for name, value in patch.items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
    return json.dumps(document).encode()
