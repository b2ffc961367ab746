"""Log events: past tense, snake_case, with fields. Secrets are never fields; this module masks what slips through.

A line for programs is one JSON document; structlog is loaded only where lines are for people, on a terminal.
Until `start` is called, events wait in memory (bounded) and keep the time at which they happened.
In systemd's journal an event has its priority, so that `journalctl -p warning` finds it, and its fields (`journal`).
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from datetime import UTC, datetime

from credagent.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from credagent.journal import Journal

    Renderer = Callable[[object, str, dict[str, Any]], str]
    """A structlog processor that makes the line: it gets the logger (not used here), the level and the event."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog(3)
WAITING_EVENTS = 1_000  # events kept before the log starts; a start-up that has more is itself the event


class _Sink:
    """How lines look, from which level on they are written, and the journal where standard error leads there."""

    __slots__ = ("journal", "least", "render")

    def __init__(self, render: Renderer, least: int, journal: Journal | None = None) -> None:
        """Write what `render` returns."""
        self.render, self.least, self.journal = render, least, journal


_waiting: deque[tuple[str, str, dict[str, Any]]] = deque(maxlen=WAITING_EVENTS)
_sink: _Sink | None = None


def debug(event: str, **fields: object) -> None:
    """Record something that only a developer reads."""
    _emit("debug", event, fields)


def info(event: str, **fields: object) -> None:
    """Record that something expected happened."""
    _emit("info", event, fields)


def warning(event: str, **fields: object) -> None:
    """Record something that will need somebody's attention."""
    _emit("warning", event, fields)


def error(event: str, **fields: object) -> None:
    """Record that something is not as it was asked to be."""
    _emit("error", event, fields)


def waits() -> bool:
    """Tell whether events wait for the log to start."""
    return _sink is None and bool(_waiting)


def priority_prefix(level: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what a line to stderr begins with so that the journal knows its priority; "" where stderr goes elsewhere.

    `JOURNAL_STREAM` is inherited by processes whose stderr is another; systemd.exec(5): compare device and inode.
    """
    try:
        found = os.fstat(2)
    except OSError:
        return ""
    return f"<{PRIORITIES[level]}>" if environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" else ""


def start(level: str = "info", log_format: str = "auto") -> None:
    """Write what has waited, and from now on each event as it happens, to stderr."""
    global _sink  # noqa: PLW0603  the one switch of a process-wide log
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    journal = None
    if not console and priority_prefix(level):
        from credagent.journal import opened  # noqa: PLC0415  where standard error leads to the journal

        journal = opened()
    _sink = _Sink(_for_people() if console else _for_programs, LEVELS[level], journal)
    while _waiting:
        _write(_sink, *_waiting.popleft())


def _for_people() -> Renderer:
    import structlog  # noqa: PLC0415  tens of milliseconds, and a service has no terminal

    colors, trace = sys.stderr.isatty(), structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=trace)


def _for_programs(_: object, __: str, event: dict[str, Any]) -> str:
    return json.dumps(event)


def _prioritised(level: str, text: str) -> str:
    """Put the priority before a line that is rendered, and before each line of a trace."""
    prefix = priority_prefix(level)
    return "\n".join(prefix + one for one in text.split("\n"))


def _emit(level: str, event: str, fields: dict[str, object]) -> None:
    shown: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        **{name: _shown(value) for name, value in fields.items()},
    }
    if _sink is None:
        _waiting.append((level, event, shown))
    else:
        _write(_sink, level, event, shown)


def _write(sink: _Sink, level: str, event: str, fields: dict[str, Any]) -> None:
    if LEVELS[level] < sink.least:
        return
    whole = {**fields, "event": event}
    line = sink.render(None, level, whole)
    if sink.journal is not None and sink.journal.send(line, PRIORITIES[level], whole):
        return
    try:
        sys.stderr.write(_prioritised(level, line) + "\n")
        sys.stderr.flush()
    except OSError:
        return  # a full disk, a reader that is gone: what is held is worth more than what is said


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(item) for item in value]
    text = str(value)
    # A bundle's and a cluster's words reach the log: on a terminal, control characters among them would be obeyed.
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
