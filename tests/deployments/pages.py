"""A page of packaging/examples/deployments as a test reads it: steps, and in each the files to write and lines to type.

A block of code whose first line is a comment with a file's name is that file; a `console` block holds lines to type,
after `$ ` as an ordinary user and after `# ` as root. Everything else is prose.
"""

import re
from pathlib import Path

from msgspec import Struct

FOLDER = Path(__file__).parents[2] / "packaging" / "examples" / "deployments"
_STEP = re.compile(r"^## \d+\. (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^# (\S+\.\w+)$")
WORDS = ("no", "one", "two", "three", "four")


class File(Struct, frozen=True):
    """A file that the reader writes."""

    name: str
    text: str


class Line(Struct, frozen=True):
    """A line that the reader types."""

    text: str
    as_root: bool = False


class Step(Struct, frozen=True):
    """One numbered step, with what there is to do in its order."""

    title: str
    deeds: tuple[File | Line, ...]


class Page(Struct, frozen=True):
    """What a page says there is to do from nothing to the first read."""

    text: str
    steps: tuple[Step, ...]

    @property
    def deeds(self) -> list[File | Line]:
        """Return everything that is written and typed, in order."""
        return [deed for step in self.steps for deed in step.deeds]

    @property
    def says_how_many_steps(self) -> bool:
        """Whether the number of steps stands in the page, in its first paragraphs."""
        return bool(re.search(rf"\b{WORDS[len(self.steps)]} steps? to the first read", self.text, re.IGNORECASE))


def read(name: str) -> Page:
    """Return the page of that name."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    titles = list(_STEP.finditer(text))
    ends = [found.start() for found in titles[1:]] + [_end(text, titles[-1].end())]
    steps = [Step(title[1], tuple(_deeds(text[title.end() : end]))) for title, end in zip(titles, ends, strict=True)]
    return Page(text, tuple(steps))


def names() -> list[str]:
    """Return every page that has steps."""
    return sorted(path.stem for path in FOLDER.glob("*.md") if _STEP.search(path.read_text(encoding="utf-8")))


def _end(text: str, start: int) -> int:
    """Return where the last step ends: at the next heading that is none."""
    found = text.find("\n## ", start)
    return len(text) if found < 0 else found


def _deeds(text: str) -> list[File | Line]:
    found: list[File | Line] = []
    for kind, content in _BLOCK.findall(text):
        name = _NAME.match(content.partition("\n")[0])
        if kind == "console":
            typed = [line for line in content.splitlines() if line[:2] in ("$ ", "# ")]
            found += [Line(line[2:], as_root=line[0] == "#") for line in typed]
        elif name:
            found.append(File(name[1], content))
    return found
