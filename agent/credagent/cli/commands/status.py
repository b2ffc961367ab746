"""`credagent status`: what each slot holds, from where and until when."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime

from credagent.cli import status_page
from credagent.cli.common_options import add_agents_config
from credagent.cli.status_page import View
from credagent.cli.terminal_text import terminal_width
from credagent.errors import CredagentError, Exit
from credagent.handover.unix.agent_client import ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

SUMMARY = "show what each slot holds, from where and until when"
PLAIN = True
EPILOG = """\
Exit status: 0 when workers get what was meant for them; 1 when they do not (a slot that was granted
or is required is empty, the last bundle was refused, not every slot was tried); 69 when no agent answers.

Examples:
  credagent status               all of it
  credagent status aws           why this slot holds what it holds
  credagent status --watch       the same page, kept up to date, until Ctrl-C
"""
SLOTS = ("aws", "google", "environment")
WATCH_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `status` takes."""
    parser.add_argument("slot", nargs="?", choices=SLOTS, metavar="SLOT", help=f"explain one: {', '.join(SLOTS)}")
    add_agents_config(parser)
    parser.add_argument("--json", action="store_true", help="the stable document for programs")
    parser.add_argument("--watch", action="store_true", help="keep it up to date, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Show the status; 1 where workers do not get what was meant for them."""
    if arguments.watch:
        gc.enable()
        return _watch(arguments)
    document = _asked(arguments)
    sys.stdout.write(_text(document, arguments))
    return Exit.CHECK_FAILED if status_page.failing(document) else Exit.DONE


def explained(document: dict[str, Any]) -> str:
    """Return what each slot holds and why, for who resolves once: without what only a daemon has."""
    view = _view()
    lines = [line for name in SLOTS for line in status_page.slot_page(name, document, view)]
    return "".join(f"{line}\n" for line in [*lines, *status_page.bundle_lines(document, view)])


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    document = ask({"op": "status"}, config_path=arguments.config)
    document.pop("ok", None)
    return document


def _text(document: dict[str, Any], arguments: argparse.Namespace) -> str:
    if arguments.json:
        return json.dumps(document, indent=2) + "\n"
    return "".join(f"{line}\n" for line in _lines(document, arguments))


def _lines(document: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    if arguments.slot:
        return status_page.slot_page(arguments.slot, document, _view())
    return status_page.page(document, _view())


def _view() -> View:
    """Return how to show a page here: colour and the width of a terminal on a terminal only."""
    now, terminal = datetime.now(UTC), sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return View(now=now, width=terminal_width(), colour=colour, user_name=_user_name)


def _size() -> tuple[int, int]:
    """Return the terminal's columns and lines."""
    try:
        found = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return 80, 24
    return found.columns or 80, found.lines or 24


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _watch(arguments: argparse.Namespace) -> int:
    """Show it again: in place on a terminal, each second; elsewhere whenever it says something else."""
    if not sys.stdout.isatty() or arguments.json:
        return _watch_changes(arguments)
    with _whole_screen():
        while True:
            try:
                lines = _lines(_asked(arguments), arguments)
            except CredagentError as error:
                lines = [str(error), f"hint: {error.hint}"]
            columns, rows = _size()
            clock = datetime.now(UTC).strftime("%H:%M:%S UTC").rjust(columns)
            shown = "".join(f"\x1b[K{line}\n" for line in [clock, *lines][: rows - 1])
            sys.stdout.write(f"\x1b[H{shown}\x1b[J")
            sys.stdout.flush()
            time.sleep(WATCH_S)


def _watch_changes(arguments: argparse.Namespace) -> int:
    shown: dict[str, Any] = {}
    while True:
        document = _asked(arguments)
        stable = {name: value for name, value in document.items() if name != "agent"}
        if stable != shown:
            sys.stdout.write(_text(document, arguments) + ("" if arguments.json else "\n"))
            sys.stdout.flush()
            shown = stable
        time.sleep(WATCH_S)


@contextmanager
def _whole_screen() -> Iterator[None]:
    """Have the terminal's other screen, without a cursor; whatever happens, leave it as it was."""
    import signal

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # `timeout` sends it
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
