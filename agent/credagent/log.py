"""Log events: past tense, snake_case, with fields. Secrets are never fields; this module masks what slips through.

structlog is loaded when the first line has to leave the process, not before: the daemon answers before it talks.
Until `start` is called, events wait in memory (bounded) and keep the time at which they happened.
In systemd's journal each line carries its priority (sd-daemon(3)), so that `journalctl -p warning` finds warnings.
"""

import os
import sys
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from credagent.secret import Secret

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog(3)
WAITING_EVENTS = 1_000  # events kept before the log starts; a start-up that has more is itself the event

_waiting: deque[tuple[str, str, dict[str, Any]]] = deque(maxlen=WAITING_EVENTS)
_sink: Any = None


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
    """Load structlog, write what has waited, and from now on write each event as it happens, to stderr."""
    global _sink  # noqa: PLW0603  the one switch of a process-wide log
    import structlog  # noqa: PLC0415  60 ms that nobody waits for before the daemon is ready

    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    _sink = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[renderer, _prioritised],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    while _waiting:
        waiting_level, event, fields = _waiting.popleft()
        _write(waiting_level, event, fields)


def _prioritised(_: object, level: str, line: object) -> str:
    """Put the priority before a line that is rendered, and before each line of a trace."""
    prefix = priority_prefix(level)
    return "\n".join(prefix + one for one in str(line).split("\n"))


def _emit(level: str, event: str, fields: dict[str, object]) -> None:
    shown: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        **{name: _shown(value) for name, value in fields.items()},
    }
    if _sink is None:
        _waiting.append((level, event, shown))
    else:
        _write(level, event, shown)


def _write(level: str, event: str, fields: dict[str, Any]) -> None:
    try:
        getattr(_sink, level)(event, **fields)
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
