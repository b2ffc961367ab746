"""Copies the documents below the folder that is the second argument, with all that their links lead to.

The first argument is the source tree. Each file keeps its place in it, so that relative links lead somewhere.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

FIRST = ("README.md", "SECURITY.md", "packaging/README.md", "packaging/examples/README.md")
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def documents(source: Path) -> Iterator[Path]:
    """Yield each document and what links in it lead to, once. Raises FileNotFoundError for a link to nothing."""
    waiting, seen = [source / name for name in FIRST], set[Path]()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.suffix == ".md":
            waiting += [_target(path, link) for link in _LINK.findall(path.read_text()) if "://" not in link]


def _target(document: Path, link: str) -> Path:
    found = (document.parent / link).resolve()
    found = found / "README.md" if found.is_dir() else found
    if not found.is_file():
        raise FileNotFoundError(f"{document}: its link to {link} leads nowhere")
    return found


def main(source: str, target: str) -> None:
    """Copy them all."""
    root = Path(source).resolve()
    for path in documents(root):
        copy = Path(target) / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


if __name__ == "__main__":
    main(*sys.argv[1:])
