"""The blocks of code in the documents, and what becomes of each: a test runs it, or the page says why none can.

A comment before a block says so, which a reader of the rendered page does not see: `<!-- run by tests/… -->` or
`<!-- not run: REASON -->`. One beside a page's title holds for each block that has none of its own. A block of `text`
is what a program prints. Tests take what they run from here: what a page shows and what its test does are the same.
"""

import re
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_FATE = re.compile(r"<!-- (?P<what>run by|not run:) (?P<said>[^\n]+?) -->")


class Block(Struct, frozen=True):
    """One block: `line` is where it begins, `test` the path of what runs it, `reason` why nothing can."""

    line: int
    kind: str
    text: str
    test: str = ""
    reason: str = ""

    @property
    def typed(self) -> list[str]:
        """Return the lines that a reader types, without the prompt."""
        return [line[2:] for line in self.text.splitlines() if line[:2] in ("$ ", "# ")]


def blocks(page: str) -> list[Block]:
    """Return the blocks of the page at that path in the repository, in their order; not those of `text`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    whole = _FATE.search(text.split("\n\n", 1)[0])
    found = []
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()].rstrip().splitlines()
        fate = _FATE.fullmatch(before[-1].strip()) if before else None
        fate = fate or whole
        inner = re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE)
        said = {"test" if fate["what"] == "run by" else "reason": fate["said"]} if fate else {}
        found.append(Block(text.count("\n", 0, fence.start()) + 1, fence["kind"], inner, **said))
    return [block for block in found if block.kind != "text"]


def run_by(test: str, page: str) -> list[Block]:
    """Return those blocks of a page that it says this test runs. `test` is the test's `__file__`."""
    path = str(Path(test).relative_to(ROOT))
    return [block for block in blocks(page) if block.test == path]
