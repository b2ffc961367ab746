"""Writes completions for bash and zsh below the folder that is its argument. Made of the parsers, by shtab."""

import argparse
import sys
from pathlib import Path

import shtab

sys.path.insert(0, str(Path(__file__).parent))

from commands import parsers

PLACES = {
    "bash": "bash-completion/completions/credagent",
    "zsh": "zsh/vendor-completions/_credagent",
}


def main(folder: str) -> None:
    """Write them all."""
    root = argparse.ArgumentParser(prog="credagent")
    root.add_argument("--version", action="store_true", help="say which this is")
    commands = root.add_subparsers()
    for name, entry, parser in parsers():
        parser.prog = f"credagent {name}"
        child = commands.add_parser(name, help=entry.summary, add_help=False)
        for action in parser._actions:  # noqa: SLF001  argparse has no other list of them
            child._add_action(action)  # noqa: SLF001  argparse has no other way to share one
    for shell, place in PLACES.items():
        path = Path(folder) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shtab.complete(root, shell))


if __name__ == "__main__":
    main(sys.argv[1])
