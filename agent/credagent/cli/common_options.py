"""What commands have in common on the command line: options, types, and a parser that fails in our own words."""

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from credagent.config import Config, duration_s
from credagent.config import load as load_config
from credagent.errors import ConfigurationError, UsageError


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


def reload_command() -> str:
    """Return how whoever runs this has an agent read its files again: a unit's as root, else an agent of one's own."""
    return "systemctl reload credagent" if os.geteuid() == 0 else "kill -HUP PID"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument("--config", metavar="F", help="the configuration (default: /etc/credagent/config.toml)")


def add_agents_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config` of a command that asks the running agent."""
    parser.add_argument("--config", metavar="F", help="the configuration of the agent to ask")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print a stable document for programs")


def config(arguments: argparse.Namespace) -> Config:
    """Return the configuration that `--config` and the environment give."""
    return load_config(arguments.config, os.environ)


def duration(text: str) -> int:
    """Return the seconds of a duration, INT(s|m|h|d)."""
    try:
        return duration_s(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(f"{error.why}: {error.hint}") from error
