"""The parser of command lines that are not plain: it explains, and fails in our own words."""

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from credagent.errors import UsageError


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Asks for the terminal's width only, where argparse would load shutil, for every command and not just for help."""

    def __init__(self, prog: str) -> None:
        """Format the help of `prog`."""
        super().__init__(prog, width=_width() - 2)


class CommandParser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and exit 2, and repeats no argument that is no option.

    What is not an option may be a secret that belonged into a variable: it is not copied to where errors are kept.
    """

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError("usage", message.replace("\n", " "), what=self.prog, hint=f"see `{self.prog} --help`")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the arguments, all of them understood."""
        arguments, unknown = self.parse_known_args(argv)
        if not unknown:
            return arguments
        option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
        if not option:
            self.error("an argument too many" if len(unknown) == 1 else f"{len(unknown)} arguments too many")
        from difflib import get_close_matches

        near = get_close_matches(option, [name for action in self._actions for name in action.option_strings], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError("usage", f"no option {option}", what=self.prog, hint=f"{hint}see `{self.prog} --help`")


def _width() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80
