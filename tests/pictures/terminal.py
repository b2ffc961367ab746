"""A real terminal (tmux) in which commands are typed, and what it shows as SVG (by Rich).

A picture brings its own background, so that it reads the same on a light and on a dark page, and asks for no font that
is not there: each run of characters says how wide it is.
"""

import io
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [  # black, red, green, yellow, blue, magenta, cyan, white
        *((72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (230, 237, 243)),
    ],
    [
        *((110, 118, 129), (255, 161, 152), (126, 231, 135), (234, 196, 105)),
        *((165, 214, 255), (226, 197, 255), (179, 240, 255), (255, 255, 255)),
    ],
)
# As Rich's own, without its fonts of another host, and without the window around it.
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {{width}} {height}" role="img">
<title>{{unique_id}}</title>
<style>
.{{unique_id}}-matrix {{{{ font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: {{char_height}}px; white-space: pre }}}}
{{styles}}
{moves}</style>
<defs><clipPath id="shown"><rect width="{{width}}" height="{shown}"/></clipPath>{{lines}}</defs>
<rect width="{{width}}" height="{height}" rx="8" fill="#161b22"/>
<g transform="translate({{terminal_x}}, 16)" clip-path="url(#shown)">
<g class="scroll">{{backgrounds}}<g class="{{unique_id}}-matrix">{{matrix}}</g></g>
{cover}</g>
</svg>
"""  # noqa: E501  one rule of CSS
_LINE_HEIGHT = 24.4  # Rich's: 20 px characters, 1.22 lines
_PROMPT = "$"
_FASTER, _AT_THE_END_S = 4, 8
_POLL_S = 0.1


class Recording(Struct, frozen=True):
    """What was shown: its lines with colours, and when each was there, in seconds from the first."""

    text: str
    columns: int
    moments: tuple[tuple[float, int], ...] = ()

    def svg(self, name: str, rows: int = 0) -> str:
        """Return a picture; with `rows` a moving one of so many lines: the text arrives as it did, but faster."""
        lines = self.text.rstrip().splitlines()
        console = Console(record=True, width=self.columns, color_system="truecolor", file=io.StringIO())
        for line in lines:
            console.print(Text.from_ansi(line), no_wrap=True, crop=True)
        shown = (rows or len(lines)) * _LINE_HEIGHT
        frame = _FORMAT.format(
            height=round(shown + 32),
            shown=round(shown + 4),
            moves=_moves(self.moments, rows, len(lines)) if rows else "",
            cover=f'<rect class="cover" width="100%" height="{shown}" fill="#161b22"/>\n' if rows else "",
        )
        made = console.export_svg(title="", theme=THEME, code_format=frame, unique_id=name)
        return re.sub(r"[ \t]+$", "", made, flags=re.MULTILINE)


def _moves(moments: tuple[tuple[float, int], ...], rows: int, lines: int) -> str:
    """Return the animation: lines come from under a cover, then the text moves up; braces are doubled for Rich.

    It begins with the end, which is what is seen where nothing moves.
    """
    lasts_s = _AT_THE_END_S + moments[-1][0] / _FASTER
    scroll, cover = [], []
    for at_s, count in [(0.0, lines), *((_AT_THE_END_S + at / _FASTER, count) for at, count in moments)]:
        percent = 100 * at_s / lasts_s
        scroll.append(f"{percent:.2f}% {{{{ transform: translateY({-max(0, count - rows) * _LINE_HEIGHT:.1f}px) }}}}")
        cover.append(f"{percent:.2f}% {{{{ transform: translateY({min(count, rows) * _LINE_HEIGHT:.1f}px) }}}}")
    end = -max(0, lines - rows) * _LINE_HEIGHT
    return (
        f"@keyframes scroll {{{{ {' '.join(scroll)} }}}}\n@keyframes cover {{{{ {' '.join(cover)} }}}}\n"
        f".scroll {{{{ transform: translateY({end:.1f}px); animation: scroll {lasts_s:.1f}s step-end infinite }}}}\n"
        f".cover {{{{ transform: translateY({rows * _LINE_HEIGHT:.1f}px); "
        f"animation: cover {lasts_s:.1f}s step-end infinite }}}}\n"
        "@media (prefers-reduced-motion: reduce) {{ .scroll, .cover {{ animation: none }} }}\n"
    )


class Terminal:
    """A server of tmux of its own, with one window of a size that is said."""

    def __init__(self, folder: Path, columns: int, environ: Mapping[str, str], rows: int = 400) -> None:
        """Open a shell in `folder`, which signals each prompt that it is about to print, and wait for the first."""
        self._tmux = ["tmux", "-S", str(folder / f"tmux-{columns}"), "-f", "/dev/null"]
        self._columns = columns
        size = ["-x", str(columns), "-y", str(rows)]
        shell = {**environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        command = [*self._tmux, "new-session", "-d", *size, "env", f"PS1={_PROMPT} "]
        command += ["PROMPT_COMMAND=tmux wait-for -S prompt", "bash", "--norc", "--noprofile"]
        subprocess.run(command, cwd=folder, env=shell, check=True)
        self._ask("wait-for", "prompt")
        self._at_the_prompt()

    def __enter__(self) -> Self:
        """Go on."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False)

    def record(self, line: str) -> Recording:
        """Type a line, wait until it has ended, and return what was shown meanwhile."""
        self._ask("send-keys", line, "Enter")
        began, moments = time.monotonic(), [(0.0, 1)]
        ended = subprocess.Popen([*self._tmux, "wait-for", "prompt"])
        while ended.poll() is None:
            count = self._count()
            if count > moments[-1][1]:
                moments.append((time.monotonic() - began, count))
            time.sleep(_POLL_S)
        return Recording(self._at_the_prompt(), self._columns, tuple(moments))

    def _at_the_prompt(self) -> str:
        """Return all that was shown before the prompt, as soon as that is there."""
        while not (text := self._ask("capture-pane", "-p", "-e", "-S", "-").rstrip()).endswith(_PROMPT):
            time.sleep(_POLL_S)
        return text.removesuffix(_PROMPT)

    def _count(self) -> int:
        """Return how many lines there are, the ones that have left the screen included."""
        return sum(map(int, self._ask("display-message", "-p", "#{history_size} #{cursor_y}").split()))

    def _ask(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True).stdout
