"""Texts on their way to a terminal. What comes from a bundle or a cluster is somebody else's: control is not theirs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def printable(text: str) -> str:
    """Return one line as one line, without escape sequences, and without marks that turn a text's direction round."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def hung(head: str, parts: Iterable[str], width: int) -> list[str]:
    """Return parts behind `head`, with a separator, on as many lines as `width` needs (0: one), broken at blanks."""
    indent, lines, line = " " * len(head), [], head
    for number, part in enumerate(parts):
        separator = " · " if number else ""
        if width and number and columns(line) + len(separator) + columns(part) > width:
            lines.append(line)
            line, separator = indent, ""
        for position, word in enumerate(part.split(" ")):
            blank = separator if position == 0 else " "
            room = width - columns(line) - len(blank) - columns(word)
            if width and room < 0 and line.strip() and line != head:
                lines.append(line)
                line, blank = indent, ""
            line += blank + word
    return [*lines, line] if line.strip() else lines


def columns(text: str) -> int:
    """Return how many columns a text takes, styles aside."""
    shown, rest = 0, text
    while rest:
        before, escape, rest = rest.partition("\x1b[")
        shown += len(before)
        rest = rest.partition("m")[2] if escape else ""
    return shown


def terminal_width() -> int:
    """Return the columns of the terminal that standard output is, 0 where it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except OSError:
        return 0
